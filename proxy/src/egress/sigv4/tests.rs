//! Expected signatures are those that AWS publishes: the worked example of its IAM guide, the examples of its S3 reference, and
//! its test suite for Signature Version 4.

use std::time::{Duration, UNIX_EPOCH};

use domain::Destination;
use policy::{Place, model};

use super::*;
use crate::egress::credentials::{Credentials, Provider, Secret};

const IAM: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
const S3: (&str, &str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const IN_2015: u64 = 1_440_938_160;
const IN_2013: u64 = 1_369_353_600;

fn scope(keys: (&str, &str), token: Option<&str>) -> Scope {
    let secret = |key: &str, text: &str| (key.to_owned(), Secret::new(text).unwrap());
    let mut secrets =
        vec![secret("AWS_ACCESS_KEY_ID", keys.0), secret("AWS_SECRET_ACCESS_KEY", keys.1)];
    secrets.extend(token.map(|token| secret("AWS_SESSION_TOKEN", token)));
    let provider = Provider { name: "aws".to_owned(), secrets, endpoints: Vec::new() };
    let endpoint = model::Endpoint {
        protocol: Some(policy::Protocol::Rest),
        credentials: model::Credentials {
            provider: Some("aws".to_owned()),
            signing: Some(signing(SignedBody::AsSent, "iam")),
            ..model::Credentials::default()
        },
        ..model::Endpoint::default()
    };
    let block = model::Block::default();
    let place = Place { key: "aws", block: &block, index: 0, endpoint: &endpoint };
    let to: Destination = "iam.amazonaws.com:443".parse().unwrap();
    Credentials::new(vec![provider]).unwrap().scope(&to, "/", &[place])
}

fn signing(body: SignedBody, service: &str) -> Signing {
    Signing { body, service: Some(service.to_owned()), region: Some("us-east-1".to_owned()) }
}

struct Case<'c> {
    service: &'c str,
    method: &'c str,
    host: &'c str,
    target: &'c str,
    headers: &'c [(&'static str, &'c str)],
    body: &'c [u8],
    signature: &'c str,
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn check(case: &Case<'_>, keys: (&str, &str), token: Option<&str>, seconds: u64) {
    let scope = scope(keys, token);
    let mut headers = headers(case.headers);
    let plan =
        Plan::new(&signing(SignedBody::AsSent, case.service), case.target, &headers).unwrap();
    let hash = plan.hash().map(|mut hash| {
        hash.push(case.body).unwrap();
        hash
    });
    scope.rewrite_head(case.target, &headers).unwrap().apply(&mut headers);
    let request = Unsigned {
        method: case.method,
        target: case.target,
        authority: case.host,
        headers: &headers,
    };
    let now = UNIX_EPOCH + Duration::from_secs(seconds);
    let signed = plan.sign(&scope, &request, hash, now).unwrap();
    let (_, value) = signed.iter().find(|(name, _)| *name == header::AUTHORIZATION).unwrap();
    assert!(value.is_sensitive());
    let value = value.to_str().unwrap();
    let (_, signature) = value.split_once("Signature=").unwrap();
    assert_eq!(signature, case.signature, "{} {} {value}", case.method, case.target);
    assert!(value.contains(keys.0) && !value.contains(keys.1));
}

#[test]
fn published_signatures_come_out() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let base = Case {
        service: "service",
        method: "GET",
        host: "example.amazonaws.com",
        target: "/",
        headers: &[],
        body: b"",
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    };
    let cases = [
        Case {
            service: "iam",
            host: "iam.amazonaws.com",
            target: "/?Action=ListUsers&Version=2010-05-08",
            headers: &[("content-type", form)],
            signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ..base
        },
        Case {
            target: "/?Param2=value2&Param1=value1",
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ..base
        },
        Case {
            method: "POST",
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            body: b"Param1=value1",
            signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ..base
        },
        base,
    ];
    for case in &cases {
        check(case, IAM, None, IN_2015);
    }
}

#[test]
fn published_signatures_of_s3_come_out() {
    // The caller's own signature says what it covers.
    let covers = |names: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=openshell:resolve:env:AWS_ACCESS_KEY_ID/20130524/us-east-1/s3/aws4_request,SignedHeaders={names},Signature=00"
        )
    };
    let range = covers("host;range;x-amz-content-sha256;x-amz-date");
    let date = covers("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class");
    let put = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let base = Case {
        service: "s3",
        method: "GET",
        host: "examplebucket.s3.amazonaws.com",
        target: "/?lifecycle",
        headers: &[("x-amz-content-sha256", EMPTY)],
        body: b"",
        signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    };
    let cases = [
        Case {
            target: "/test.txt",
            headers: &[
                ("authorization", &range),
                ("range", "bytes=0-9"),
                ("x-amz-content-sha256", EMPTY),
                ("x-amz-security-token", "openshell:resolve:env:AWS_SESSION_TOKEN"),
            ],
            signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ..base
        },
        Case {
            method: "PUT",
            target: "/test%24file.text",
            headers: &[
                ("authorization", &date),
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-content-sha256", put),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ..base
        },
        Case {
            target: "/?prefix=J&max-keys=2",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ..base
        },
        base,
    ];
    for case in &cases {
        check(case, S3, None, IN_2013);
    }
}

#[test]
fn a_session_token_is_sent_and_signed() {
    let scope = scope(IAM, Some("session-token"));
    let headers = HeaderMap::new();
    let plan = Plan::new(&signing(SignedBody::Unsigned, "iam"), "/", &headers).unwrap();
    assert!(plan.hash().is_none());
    let request =
        Unsigned { method: "GET", target: "/", authority: "iam.amazonaws.com", headers: &headers };
    let signed = plan.sign(&scope, &request, None, UNIX_EPOCH).unwrap();
    let all: HeaderMap = signed.into_iter().collect();
    assert_eq!(all[TOKEN], "session-token");
    assert!(all[TOKEN].is_sensitive());
    assert_eq!(all[DATE], "19700101T000000Z");
    assert_eq!(all[CONTENT_HASH], UNSIGNED);
    let value = all[header::AUTHORIZATION].to_str().unwrap();
    let names = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
    assert!(value.contains(names), "{value}");
}

#[test]
fn what_cannot_be_signed_anew_is_refused() {
    let none = Signing { body: SignedBody::AsSent, service: None, region: None };
    let plan = |signing: &Signing, target: &str, all: &[(&'static str, &str)]| {
        Plan::new(signing, target, &headers(all)).map(|_| ()).unwrap_err()
    };
    let s3 = |body| signing(body, "s3");
    let pieces = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")];
    assert_eq!(plan(&none, "/", &[]), SignError::Scope);
    assert_eq!(plan(&none, "/", &[("authorization", "Bearer x")]), SignError::Scope);
    assert_eq!(
        plan(&s3(SignedBody::AsSent), "/?a=1&X-Amz-Signature=00", &[]),
        SignError::Presigned
    );
    for body in [SignedBody::AsSent, SignedBody::Whole, SignedBody::Unsigned] {
        assert_eq!(plan(&s3(body), "/", &pieces), SignError::Pieces);
    }
    let mut hash = BodyHash::default();
    hash.push(&vec![0; BODY_BYTES_MAX]).unwrap();
    assert_eq!(hash.push(&[0]).unwrap_err(), SignError::Large);
}

#[test]
fn a_key_signs_only_where_it_is_bound() {
    let to: Destination = "evil.example.com:443".parse().unwrap();
    let secret = |key: &str| (key.to_owned(), Secret::new("0123456789").unwrap());
    let secrets = vec![secret("AWS_ACCESS_KEY_ID"), secret("AWS_SECRET_ACCESS_KEY")];
    let provider = Provider { name: "aws".to_owned(), secrets, endpoints: Vec::new() };
    let scope = Credentials::new(vec![provider]).unwrap().scope(&to, "/", &[]);
    let headers = HeaderMap::new();
    let plan = Plan::new(&signing(SignedBody::Unsigned, "iam"), "/", &headers).unwrap();
    let request = Unsigned { method: "GET", target: "/", authority: "x", headers: &headers };
    let error = plan.sign(&scope, &request, None, UNIX_EPOCH).unwrap_err();
    assert_eq!(error, SignError::Credential(CredentialError::Mismatch));
    assert_eq!((error.code(), error.status()), ("credential_endpoint_mismatch", 403));
}
