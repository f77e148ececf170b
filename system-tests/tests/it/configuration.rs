//! The settings as they are documented.

use std::path::Path;

#[test]
fn the_settings_are_documented_as_the_programs_have_them() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let written = std::fs::read_to_string(file).unwrap();
    let now = system_tests::configuration::document();
    for (is, should) in written.lines().zip(now.lines()) {
        assert_eq!(
            is, should,
            "cargo run -p system-tests --bin configuration > docs/configuration.md"
        );
    }
    assert_eq!(written.len(), now.len());
    // The control: it is not a list of nothing.
    for variable in [
        "`DATA_DIR`",
        "`CENTRAL_API_URL`",
        "`TLS_CERT_FILE`",
        "`PAYMENT_PROVIDER`",
    ] {
        assert!(now.contains(variable), "{variable}");
    }
}
