use http::HeaderValue;

use super::*;

fn store(id: &str) -> StoreId {
    StoreId::parse(id).unwrap()
}

fn keys() -> ApiKeys {
    ApiKeys::parse("demo, till@store-s1,look:read,", "root-key").unwrap()
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

fn caller(key: &str) -> Caller {
    keys().authenticate(&headers("x-api-key", key)).unwrap()
}

#[test]
fn both_headers_carry_a_key() {
    for (name, value) in [
        ("x-api-key", "demo"),
        ("authorization", "Bearer demo"),
        ("authorization", "bearer  demo "),
    ] {
        let caller = keys().authenticate(&headers(name, value)).unwrap();
        assert_eq!(caller.scope(), Scope::Store, "{name}: {value}");
    }
}

#[test]
fn no_key_and_an_unknown_key_are_told_apart() {
    for (headers, sentence) in [
        (HeaderMap::new(), "API key required"),
        (headers("x-api-key", ""), "API key required"),
        (
            headers("authorization", "Basic ZGVtbw=="),
            "API key required",
        ),
        (headers("authorization", "Bearer "), "API key required"),
        (headers("x-api-key", "nope"), "Invalid API key"),
        // What follows the key in the settings is not part of it.
        (headers("x-api-key", "till@store-s1"), "Invalid API key"),
        (headers("x-api-key", "look:read"), "Invalid API key"),
        (headers("x-api-key", " demo2"), "Invalid API key"),
    ] {
        let problem = keys().authenticate(&headers).unwrap_err();
        assert_eq!(problem.code, ProblemCode::Unauthorized);
        assert_eq!(problem.detail, sentence, "{headers:?}");
    }
}

#[test]
fn two_different_keys_are_a_fault_that_names_both_headers() {
    let present = |pairs: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    };
    let both: &[_] = &["header.X-API-Key", "header.Authorization"];
    for (pairs, fields) in [
        // Either could be the one that was meant, known or not.
        (
            &[("x-api-key", "demo"), ("authorization", "Bearer root-key")][..],
            both,
        ),
        (
            &[("x-api-key", "demo"), ("authorization", "Bearer nope")],
            both,
        ),
        (
            &[("x-api-key", "nope"), ("authorization", "Bearer demo")],
            both,
        ),
        (
            &[("x-api-key", "demo"), ("x-api-key", "root-key")],
            &both[..1],
        ),
        (
            &[
                ("authorization", "Bearer demo"),
                ("authorization", "Bearer root-key"),
            ],
            &both[1..],
        ),
    ] {
        let problem = keys().authenticate(&present(pairs)).unwrap_err();
        assert_eq!(problem.code, ProblemCode::InvalidRequest, "{pairs:?}");
        let found: Vec<_> = problem.details.iter().map(|one| &one.field).collect();
        assert_eq!(found, fields, "{pairs:?}");
        let printed = format!("{problem:?}");
        assert!(!printed.contains("root-key"), "{printed}");
    }
    // The controls: one key said twice is one key, and another scheme or nothing is no key.
    for pairs in [
        &[("x-api-key", "demo"), ("authorization", "Bearer demo")][..],
        &[("x-api-key", "demo"), ("x-api-key", "demo")],
        &[("x-api-key", "demo"), ("authorization", "Basic ZGVtbw==")],
        &[("x-api-key", ""), ("authorization", "Bearer demo")],
    ] {
        let caller = keys().authenticate(&present(pairs)).unwrap();
        assert_eq!(caller.scope(), Scope::Store, "{pairs:?}");
    }
}

#[test]
fn scopes_contain_each_other() {
    use Scope::{Admin, Read, Store};
    for (key, read, store, admin) in [
        ("look", true, false, false),
        ("demo", true, true, false),
        ("till", true, true, false),
        ("root-key", true, true, true),
    ] {
        let caller = caller(key);
        for (scope, expected) in [(Read, read), (Store, store), (Admin, admin)] {
            let answer = caller.require(scope);
            assert_eq!(answer.is_ok(), expected, "{key} {scope:?}");
            if let Err(problem) = answer {
                assert_eq!(problem.code, ProblemCode::Forbidden);
            }
        }
    }
}

#[test]
fn a_bound_key_cannot_speak_for_another_store() {
    let till = caller("till");
    let own = Some(store("store-s1"));
    assert_eq!(till.check_store(None).unwrap(), own);
    assert_eq!(till.check_store(own.as_ref()).unwrap(), own);
    let refused = till.check_store(Some(&store("store-s2"))).unwrap_err();
    assert_eq!(refused.code, ProblemCode::Forbidden);
    // Ids are compared byte for byte.
    assert!(till.check_store(Some(&store("Store-S1"))).is_err());
    let demo = caller("demo");
    assert_eq!(demo.check_store(own.as_ref()).unwrap(), own);
    assert_eq!(demo.check_store(None).unwrap(), None);
}

#[test]
fn the_principal_is_the_owner_and_never_the_key() {
    let named = Principal::parse("warehouse").unwrap();
    let created = Caller::new(Scope::Store, None, Some(named));
    let s2 = store("store-s2");
    for (caller, body, expected) in [
        (caller("till"), None, "store-s1"),
        (caller("till"), Some(&s2), "store-s1"),
        (created.clone(), None, "warehouse"),
        (created, Some(&s2), "warehouse"),
        (caller("demo"), Some(&s2), "store-s2"),
        (caller("demo"), None, "store"),
        (caller("root-key"), Some(&s2), "store-s2"),
        (caller("root-key"), None, "admin"),
    ] {
        assert_eq!(caller.principal_for(body).as_str(), expected);
    }
}

#[test]
fn every_fault_of_the_settings_is_reported_and_no_key_shown() {
    let long = "k".repeat(129);
    let list = format!("good,se cret@s1,hush@,hush2@a/b,@s1,:read,mum@s1:read,{long},good@s1");
    let faults = ApiKeys::parse(&list, "good,ro ot").unwrap_err();
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "API_KEYS[1]",
            "API_KEYS[2]",
            "API_KEYS[3]",
            "API_KEYS[4]",
            "API_KEYS[5]",
            "API_KEYS[6]",
            "API_KEYS[7]",
            "API_KEYS[8]",
            "ADMIN_API_KEYS[0]",
            "ADMIN_API_KEYS[1]",
        ]
    );
    let printed = format!("{faults:?}");
    for secret in ["good", "cret", "hush", "mum", "kkk", "ro ot"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(!format!("{:?}", keys()).contains("root-key"));
}

#[test]
fn nothing_set_is_no_key() {
    assert!(ApiKeys::parse("", " , ").unwrap().is_empty());
    // The same entry twice says nothing new.
    assert!(ApiKeys::parse("demo,demo", "").is_ok());
}

#[test]
fn requests_are_counted_as_their_owners_and_two_keys_without_a_name_are_two() {
    let all = "demo,other,till@store-s1,desk@store-s1,look:read";
    let keys = ApiKeys::parse(all, "root-key,spare").unwrap();
    let subject = |key: &str| {
        let caller = keys.authenticate(&headers("x-api-key", key)).unwrap();
        caller.subject().clone()
    };
    let named = |name: &str| Subject::Principal(Principal::parse(name).unwrap());
    assert_eq!(subject("demo"), named("API_KEYS[0]"));
    assert_eq!(subject("other"), named("API_KEYS[1]"));
    assert_eq!(subject("till"), named("store-s1"));
    assert_eq!(subject("desk"), named("store-s1"));
    assert_eq!(subject("look"), named("API_KEYS[4]"));
    assert_eq!(subject("spare"), named("ADMIN_API_KEYS[1]"));
    let name = Principal::parse("night").unwrap();
    let made = Caller::new(Scope::Admin, None, Some(name));
    assert_eq!(made.subject(), &named("night"));
    // Twice the same key is one key, though it stands in two places.
    assert!(ApiKeys::parse("demo,demo", "").is_ok());
    assert!(ApiKeys::parse("demo,demo:read", "").is_err());
}
