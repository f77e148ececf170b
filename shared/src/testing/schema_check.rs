//! As much of JSON Schema as our description uses, strictly: a member that is not described is a
//! fault, so that what the service says cannot grow away from what it is said to say.

use serde_json::{Map, Value};

/// The schemas of a description.
#[derive(Debug)]
pub struct Schemas<'a> {
    known: &'a Map<String, Value>,
}

impl<'a> Schemas<'a> {
    /// Those of `document`.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn of(document: &'a Value) -> Self {
        let known = document["components"]["schemas"].as_object();
        Self {
            known: known.unwrap(),
        }
    }

    /// Stops the test where `value` is not what `schema` says.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn check(&self, schema: &Value, value: &Value, at: &str) {
        if let Err(fault) = self.fits(schema, value, at) {
            panic!("{fault}\nin {value}");
        }
    }

    /// Whether `value` is what `schema` says.
    ///
    /// # Errors
    /// The first thing that is not.
    ///
    /// # Panics
    /// The schema names one that does not exist.
    pub fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap();
            let schema = self.known.get(name).unwrap_or_else(|| panic!("no {name}"));
            return self.fits(schema, value, at);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let faults: Vec<String> = choices
                .iter()
                .filter_map(|choice| self.fits(choice, value, at).err())
                .collect();
            return if faults.len() < choices.len() {
                Ok(())
            } else {
                Err(faults.join("; "))
            };
        }
        if let Some(words) = schema["enum"].as_array() {
            return words
                .contains(value)
                .then_some(())
                .ok_or_else(|| format!("{at}: {value} is none of {words:?}"));
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ if schema["allOf"].is_array() => vec!["object"],
            _ => return Err(format!("{at}: a schema without a type: {schema}")),
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) if kinds.contains(&"integer") => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !kinds.contains(&kind) {
            return Err(format!("{at}: {value} is no {kinds:?}"));
        }
        self.bounds(schema, value, at)?;
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.fits(&schema["items"], item, &format!("{at}[{index}]"))?;
                }
                Ok(())
            }
            Value::Object(members) => self.members(schema, members, at),
            _ => Ok(()),
        }
    }

    fn bounds(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let figure = match value {
            Value::Number(number) => number.as_f64().map(|figure| ("minimum", "maximum", figure)),
            Value::String(text) => Some(("minLength", "maxLength", text.len() as f64)),
            Value::Array(items) => Some(("minItems", "maxItems", items.len() as f64)),
            _ => None,
        };
        if let Some((least, most, figure)) = figure {
            let below = schema[least].as_f64().is_some_and(|least| figure < least);
            let above = schema[most].as_f64().is_some_and(|most| figure > most);
            if below || above {
                return Err(format!("{at}: {value} is out of bounds"));
            }
        }
        Ok(())
    }

    fn members(
        &self,
        schema: &Value,
        members: &Map<String, Value>,
        at: &str,
    ) -> Result<(), String> {
        let (mut described, mut required) = (Map::new(), Vec::new());
        self.gather(schema, &mut described, &mut required);
        if described.is_empty() {
            return Ok(());
        }
        for name in required {
            if !members.contains_key(&name) {
                return Err(format!("{at}: {name} is missing"));
            }
        }
        for (name, member) in members {
            let Some(schema) = described.get(name) else {
                return Err(format!("{at}: {name} is not described"));
            };
            self.fits(schema, member, &format!("{at}.{name}"))?;
        }
        Ok(())
    }

    fn gather(
        &self,
        schema: &Value,
        described: &mut Map<String, Value>,
        required: &mut Vec<String>,
    ) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap();
            return self.gather(&self.known[name], described, required);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.gather(part, described, required);
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            described.insert(name.clone(), member.clone());
        }
        let names = schema["required"].as_array().into_iter().flatten();
        required.extend(names.filter_map(|name| name.as_str().map(str::to_owned)));
    }
}
