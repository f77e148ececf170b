use super::*;

fn rows(format: Format, text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    read(format, text.as_bytes(), |row| {
        rows.push(row);
        true
    })
    .unwrap();
    rows
}

#[test]
fn columns_come_in_any_order_and_lines_are_those_of_the_file() {
    let text = "name,productId,onHand,price\n\"Two\nlines\",A,5,1.50\n,B,,\nC name,C,-1,1.555\n";
    let rows = rows(Format::Csv, text);
    let first = rows[0].parsed.as_ref().unwrap();
    assert_eq!((first.product.as_str(), first.on_hand), ("A", Some(5)));
    assert_eq!(first.changes.name.as_deref(), Some("Two\nlines"));
    let second = rows[1].parsed.as_ref().unwrap();
    assert_eq!(
        (rows[1].line, second.changes.name.as_deref(), second.on_hand),
        (4, None, None)
    );
    let faults = rows[2].parsed.as_ref().unwrap_err();
    let named: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, &*fault.column))
        .collect();
    assert_eq!(named, [(5, "onHand"), (5, "price")]);
}

#[test]
fn a_spreadsheets_file_is_read_with_its_mark_and_its_line_ends() {
    let lines = [
        "productId,name,price,description",
        "A,\"Say \"\"hi\"\", now\",1.50,\"two\nlines\"",
        "",
        "B,b,1.555,",
        "C,c,2,\"quoted\"",
        "D,d,x,",
    ];
    for mark in ["", "\u{feff}"] {
        for end in ["\n", "\r\n"] {
            for last in ["", end] {
                let text = format!("{mark}{}{last}", lines.join(end));
                let rows = rows(Format::Csv, &text);
                let at: Vec<_> = rows.iter().map(|row| row.line).collect();
                assert_eq!(at, [2, 5, 6, 7], "{text:?}");
                let first = rows[0].parsed.as_ref().unwrap();
                assert_eq!(first.changes.name.as_deref(), Some("Say \"hi\", now"));
                let faults = rows[1].parsed.as_ref().unwrap_err();
                assert_eq!((&*faults[0].column, faults[0].line), ("price", 5));
                let third = rows[2].parsed.as_ref().unwrap();
                let description = third.changes.description.clone().flatten();
                assert_eq!(description.as_deref(), Some("quoted"));
                assert_eq!(rows[3].parsed.as_ref().unwrap_err().len(), 1);
            }
        }
    }
}

#[test]
fn an_exported_line_can_be_imported() {
    let text = r#"{"productId":"A","name":"N","price":9.5,"onHand":3,"reserved":1,"allotted":0,"available":2,"version":4,"lastUpdated":"2026-01-15T10:30:00.123Z"}"#;
    assert!(rows(Format::Ndjson, text)[0].parsed.is_ok());
}

#[test]
fn every_fault_of_a_row_is_named_and_the_next_row_goes_on() {
    let text = "{\"productId\":\"a b\",\"onHand\":1.5,\"price\":\"x\",\"colour\":1}\n[]\n\nnope\n{\"productId\":\"B\"}\n";
    let rows = rows(Format::Ndjson, text);
    let named = |row: &Row| -> Vec<String> {
        row.parsed
            .as_ref()
            .unwrap_err()
            .iter()
            .map(|fault| fault.column.clone())
            .collect()
    };
    assert_eq!(named(&rows[0]), ["colour", "onHand", "price", "productId"]);
    assert_eq!((named(&rows[1]), rows[1].line), (vec![String::new()], 2));
    assert_eq!(rows[2].line, 4);
    assert!(rows[3].parsed.is_ok());
}

#[test]
fn a_header_that_does_not_fit_refuses_the_file() {
    for (text, word) in [
        ("name\nx\n", "productId"),
        ("productId,colour\nA,red\n", "colour"),
        ("productId,productId\nA,A\n", "twice"),
    ] {
        let error = read(Format::Csv, text.as_bytes(), |_| true).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}
