//! The operations of a description, each with the request that its examples make.
//!
//! What must stay true: an operation can be called with nothing but what its description says. A
//! parameter that is required and has no example stops the test.

use http::Method;
use serde_json::Value;

/// One operation of a description.
#[derive(Debug)]
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with the names of its parameters.
    pub path: String,
    /// What is said about it.
    pub about: Value,
}

/// Every operation of `document`.
///
/// # Panics
/// It is no description.
#[must_use]
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, about) in item.as_object().unwrap() {
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                about: about.clone(),
            });
        }
    }
    operations
}

impl Operation {
    /// Its name.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn id(&self) -> &str {
        self.about["operationId"].as_str().unwrap()
    }

    /// Its place among the operations of a day: those of `first` in their order, then whatever is in
    /// neither list, then those of `last` in theirs.
    #[must_use]
    pub fn rank(&self, first: &[&str], last: &[&str]) -> usize {
        let place = |of: &[&str]| of.iter().position(|id| *id == self.id());
        place(first).unwrap_or_else(|| first.len() + place(last).map_or(0, |at| at + 1))
    }

    /// The address with the examples of its parameters, and the headers that they name.
    ///
    /// # Panics
    /// A required parameter has no example.
    #[must_use]
    pub fn address(&self) -> (String, Vec<(String, String)>) {
        let (mut path, mut query, mut headers) = (self.path.clone(), Vec::new(), Vec::new());
        for parameter in self.about["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let example = match &parameter["example"] {
                Value::Null => &parameter["schema"]["example"],
                example => example,
            };
            let text = match example {
                Value::Null => {
                    assert_ne!(parameter["required"], true, "{}: {name}", self.id());
                    continue;
                }
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), &text),
                "query" => query.push(format!("{name}={text}")),
                _ => headers.push((name.to_owned(), text)),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        (path, headers)
    }

    /// The example of the request's body, and its type.
    #[must_use]
    pub fn body(&self) -> Option<(String, &Value)> {
        let content = self.about["requestBody"]["content"].as_object()?;
        let mut examples = content.iter();
        examples.find_map(|(kind, content)| Some((kind.clone(), content.get("example")?)))
    }

    /// Stops the test where something about it is not said: what it does, its problems, and at least
    /// one example.
    ///
    /// # Panics
    /// Something is missing.
    pub fn check_complete(&self) {
        let (about, id) = (&self.about, self.id());
        assert!(about["summary"].is_string(), "{id}");
        let responses = about["responses"].as_object().unwrap();
        let keyed = about.get("security").is_some();
        for status in ["401", "403"] {
            assert_eq!(responses.contains_key(status), keyed, "{id} {status}");
        }
        let limited = !self.path.starts_with("/health");
        assert_eq!(responses.contains_key("429"), limited, "{id}");
        if about.get("requestBody").is_some() {
            for status in ["400", "408", "413", "415"] {
                assert!(responses.contains_key(status), "{id} {status}");
            }
            assert!(self.body().is_some(), "{id}: a body without an example");
        }
        let mut answers_something = false;
        for (status, response) in responses {
            assert!(response["description"].is_string(), "{id} {status}");
            let Some(content) = response["content"].as_object() else {
                continue;
            };
            if status.starts_with(['4', '5']) {
                let problem = &content.get("application/problem+json");
                let has_examples = problem.is_some_and(|it| it["examples"].is_object());
                let is_health = content.contains_key("application/json");
                assert!(has_examples || is_health, "{id} {status}");
            } else {
                answers_something = true;
                let mut content = content.values();
                assert!(
                    content.any(|it| it.get("example").is_some()),
                    "{id} {status}"
                );
            }
        }
        let success = responses
            .keys()
            .any(|status| ["204", "307"].contains(&status.as_str()));
        assert!(
            answers_something || success,
            "{id}: an answer without an example"
        );
    }
}
