//! Maps, from the text of a configuration to an answer.

use crate::support::Running;

/// The content of the answer to a GET, with this in `http`.
async fn answered(http: &str, request: &str) -> String {
    let running = Running::of_text(http);
    let mut client = running.connect().await;
    client
        .send(format!("{request}\r\nConnection: close\r\n\r\n"))
        .await;
    let (answer, _) = client.read_to_end().await;
    let answer = String::from_utf8(answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

const MAP: &str = "
    map $http_host $to {
        hostnames;
        default           other;
        exact.test        exact;
        .example.com      below;
        ~^(?<who>\\w+)\\.(\\w+)$  $2-of-$who;
    }
    map $to $twice { default \"$to $to\"; exact 1; }
    server { listen 1; return 200 $twice; }";

#[tokio::test]
async fn a_value_is_chosen_by_text_mask_or_expression_and_may_use_its_groups() {
    for (host, expected) in [
        ("exact.test", "1"),
        ("EXACT.test", "1"),
        ("a.b.example.com", "below below"),
        ("me.local", "local-of-me local-of-me"),
        ("what-is-this", "other other"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}");
        assert_eq!(answered(MAP, &request).await, expected, "{host}");
    }
}
