use super::*;
use crate::testing::certificates::{Authority, Files};

/// What is said of the settings.
fn said(certificate: Option<&Path>, key: Option<&Path>) -> String {
    let args = TlsArgs {
        tls_cert_file: certificate.map(Path::to_owned),
        tls_key_file: key.map(Path::to_owned),
    };
    match args.check() {
        Ok(Some(_)) => "TLS".to_owned(),
        Ok(None) => "no TLS".to_owned(),
        Err(fault) => fault,
    }
}

#[test]
fn files_that_cannot_be_served_are_named_by_their_setting() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    for folder in [&ours, &theirs] {
        std::fs::create_dir(folder).unwrap();
    }
    let authority = Authority::new();
    let (ours, theirs) = (authority.issue(&ours), authority.issue(&theirs));
    let Files { certificate, key } = &ours;
    assert_eq!(said(None, None), "no TLS");
    assert_eq!(said(Some(certificate), Some(key)), "TLS");
    let nowhere = dir.path().join("nowhere");
    for (certificate, key, expected) in [
        (Some(certificate), None, "TLS_KEY_FILE: is needed"),
        (None, Some(key), "TLS_CERT_FILE: is needed"),
        (Some(&nowhere), Some(key), "TLS_CERT_FILE: no certificate"),
        (Some(key), Some(key), "TLS_CERT_FILE: no certificate"),
        (
            Some(certificate),
            Some(&nowhere),
            "TLS_KEY_FILE: no private",
        ),
        (
            Some(certificate),
            Some(certificate),
            "TLS_KEY_FILE: no private",
        ),
        // Somebody else's key.
        (
            Some(certificate),
            Some(&theirs.key),
            "TLS_CERT_FILE, TLS_KEY_FILE: ",
        ),
    ] {
        let said = said(certificate.map(PathBuf::as_path), key.map(PathBuf::as_path));
        assert!(said.starts_with(expected), "{expected:?}: {said}");
    }
}

#[test]
fn what_cannot_be_read_again_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let files = authority.issue(dir.path());
    let tls = files.load();
    let first = tls.current.load_full();
    std::fs::write(&files.key, "half a key").unwrap();
    assert!(matches!(tls.reload(), Err(TlsFault::Key { .. })));
    assert!(Arc::ptr_eq(&first, &tls.current.load_full()));
    authority.issue(dir.path());
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&first, &tls.current.load_full()));
}
