use http::HeaderValue;

use super::*;

#[test]
fn one_bearer_is_read_and_nothing_else() {
    let read = |lines: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(line));
        }
        bearer(&headers).map(|text| text.map(str::to_owned))
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&["Bearer x"]), Ok(Some("x".to_owned())));
    assert_eq!(read(&["bearer x y"]), Ok(Some("x y".to_owned())), "no token looks like that");
    for lines in [&["x"][..], &[""], &["Basic eDp5"], &["Bearer x", "Bearer y"], &["Bearer\tx"]] {
        assert_eq!(read(lines), Err(Malformed), "{lines:?}");
    }
}

#[test]
fn a_request_is_about_one_workspace() {
    let read = |query| workspace(query).map(|workspace| workspace.to_string());
    assert_eq!(read("").unwrap(), "default");
    assert_eq!(read("a=b&workspace=red&c").unwrap(), "red");
    assert_eq!(read("my-workspace=red").unwrap(), "default");
    for query in ["workspace=", "workspace=A", "workspace=a&workspace=b", "workspace=%61"] {
        assert_eq!(workspace(query).unwrap_err().status, StatusCode::BAD_REQUEST, "{query}");
    }
}
