//! What the gateway answers itself: pages, redirects, files, rewrites, and its logs.

use std::sync::Arc;
use std::time::Duration;

use keepline_gateway::config::{
    AccessLog, AccessRule, AddedField, Condition, Config, Content, Delay, ErrorPage, ErrorResponse,
    ErrorTarget, Flag, LimitReq, LimitReqZone, Location, LogFile, LogFileId, LogFormat, Matcher,
    Network, Op, Pattern, Program, Return, Scope, ScopeId, SetTarget, SlotId, Template,
    TryCandidate, TryFiles, TryLast, Variable, ZoneId,
};
use keepline_testkit::ScratchDir;
use keepline_testkit::peer::{Peer, Script};

use crate::support::{Running, config, field, proxied, server, upstream};

fn template(text: &str) -> Template {
    Template::parse(text, |name| match name {
        "set" => Some(Variable::Slot(SlotId(0))),
        name => Variable::built_in(name),
    })
    .unwrap()
}

fn location(number: u64, matcher: Matcher, change: impl FnOnce(&mut Scope)) -> Location {
    let mut scope = Scope {
        id: ScopeId(number),
        ..Scope::default()
    };
    change(&mut scope);
    Location::new(matcher, scope)
}

fn prefix(text: &str) -> Matcher {
    Matcher::Prefix(text.into())
}

fn returns(number: u64, matcher: Matcher, how: Return) -> Location {
    let mut location = location(number, matcher, |_| {});
    location.rewrite = Program(vec![Op::Return(how)]);
    location
}

fn text(number: u64, path: &str, text: &str) -> Location {
    let how = Return::Text {
        status: 200,
        text: template(text),
    };
    returns(number, prefix(path), how)
}

fn running(locations: Vec<Location>) -> Running {
    Running::start(&config(server(locations), Vec::new()))
}

/// Status, head and content of the answer to a request head.
async fn ask(gateway: &Running, head: &str) -> (u16, String, String) {
    let mut client = gateway.connect().await;
    client
        .send(format!("{head}\r\nConnection: close\r\n\r\n"))
        .await;
    let head = client.read_head().await;
    let (content, _) = client.read_to_end().await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, String::from_utf8(content).unwrap())
}

async fn get(gateway: &Running, path: &str) -> (u16, String, String) {
    ask(
        gateway,
        &format!("GET {path} HTTP/1.1\r\nHost: Example.com:8080"),
    )
    .await
}

#[tokio::test]
async fn texts_have_variables() {
    let line = "$host|$request_port|$uri|$args|$arg_b|$http_x_a|$request_method|$server_protocol";
    let gateway = running(vec![text(1, "/", line)]);
    let request = "GET /a%20b?x=1&B=2 HTTP/1.1\r\nHost: Example.com:8080\r\nX-A: v";
    let (status, _, content) = ask(&gateway, request).await;
    assert_eq!(status, 200);
    assert_eq!(content, "example.com|8080|/a b|x=1&B=2|2|v|GET|HTTP/1.1");
}

#[tokio::test]
async fn redirects_are_absolute() {
    let url = Return::Redirect {
        status: 301,
        url: template("/new$uri"),
    };
    let gateway = running(vec![returns(1, prefix("/"), url)]);
    let (status, head, content) = get(&gateway, "/x").await;
    assert_eq!(status, 301);
    let expected = format!("http://example.com:{}/new/x", gateway.addr.port());
    assert_eq!(field(&head, "location"), Some(&*expected));
    assert!(content.contains("<h1>301 Moved Permanently</h1>"));
}

#[tokio::test]
async fn return_444_says_nothing() {
    let gateway = running(vec![returns(1, prefix("/"), Return::Status(444))]);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (content, _) = client.read_to_end().await;
    assert_eq!(content, b"");
}

#[tokio::test]
async fn rewrites_set_variables_and_move_on() {
    let mut first = location(1, prefix("/old/"), |_| {});
    first.rewrite = Program(vec![
        Op::Set {
            target: SetTarget::Slot(SlotId(0)),
            value: template("v"),
        },
        Op::If {
            condition: Condition::Equal {
                variable: Variable::RequestMethod,
                value: template("GET"),
                is_negated: false,
            },
            scope: None,
            then: Program(vec![Op::Rewrite {
                pattern: Pattern::new("^/old/(.*)$", false).unwrap(),
                replacement: template("/new/$1?set=$set"),
                keeps_args: true,
                flag: Flag::Last,
            }]),
        },
    ]);
    let gateway = running(vec![first, text(2, "/new/", "$uri?$args")]);
    let (_, _, content) = get(&gateway, "/old/x?y=1").await;
    assert_eq!(content, "/new/x?set=v&y=1");
}

#[tokio::test]
async fn a_rewrite_that_never_ends_is_500() {
    let mut endless = location(1, prefix("/"), |_| {});
    endless.rewrite = Program(vec![Op::Rewrite {
        pattern: Pattern::new("^", false).unwrap(),
        replacement: template("/x"),
        keeps_args: true,
        flag: Flag::Last,
    }]);
    assert_eq!(get(&running(vec![endless]), "/").await.0, 500);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn error_pages_lead_elsewhere() {
    let page = |code, response, target| ErrorPage {
        codes: vec![code],
        response,
        target,
    };
    let pages = vec![
        page(
            404,
            ErrorResponse::Keep,
            ErrorTarget::Uri(template("/page")),
        ),
        page(
            403,
            ErrorResponse::FromTarget,
            ErrorTarget::Named("@named".into()),
        ),
        page(
            410,
            ErrorResponse::Status(200),
            ErrorTarget::Uri(template("/page")),
        ),
        page(
            402,
            ErrorResponse::Keep,
            ErrorTarget::Redirect(template("http://other/")),
        ),
    ];
    let failing = |number, path: &str, status| {
        let mut location = returns(number, prefix(path), Return::Status(status));
        let scope = Arc::make_mut(&mut location.scope);
        scope.settings.error_pages.clone_from(&pages);
        location
    };
    let mut server = server(vec![
        failing(1, "/404", 404),
        failing(2, "/403", 403),
        failing(3, "/410", 410),
        failing(4, "/402", 402),
        text(5, "/page", "the page"),
    ]);
    let named = Return::Text {
        status: 202,
        text: template("named"),
    };
    let named = returns(6, Matcher::Named("@named".into()), named);
    server
        .named_locations
        .push(("@named".into(), Arc::new(named)));
    let gateway = Running::start(&config(server, Vec::new()));
    for (path, status, content) in [
        ("/404", 404, "the page"),
        ("/403", 202, "named"),
        ("/410", 200, "the page"),
    ] {
        let answer = get(&gateway, path).await;
        assert_eq!((answer.0, &*answer.2), (status, content), "{path}");
    }
    let (status, head, _) = get(&gateway, "/402").await;
    assert_eq!(
        (status, field(&head, "location")),
        (302, Some("http://other/"))
    );
}

#[tokio::test]
async fn files_with_types_ranges_and_conditions() {
    let dir = ScratchDir::new("files");
    dir.write("a.html", "0123456789");
    dir.write("index.html", "index");
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let root = dir.path().to_str().unwrap().to_owned();
    let gateway = running(vec![location(1, prefix("/"), |scope| {
        scope.settings.root = Template::literal(root);
        let field = |name: &str, always| AddedField {
            name: name.into(),
            value: template("$uri"),
            always,
        };
        scope.settings.add_headers = vec![field("X-Usual", false), field("X-Always", true)];
    })]);
    let (status, head, content) = get(&gateway, "/a.html").await;
    assert_eq!((status, &*content), (200, "0123456789"));
    assert_eq!(field(&head, "content-type"), Some("text/html"));
    assert_eq!(field(&head, "x-usual"), Some("/a.html"));
    let etag = field(&head, "etag").unwrap().to_owned();

    let asked = |lines: &str| format!("GET /a.html HTTP/1.1\r\nHost: a\r\n{lines}");
    let (status, head, content) = ask(&gateway, &asked("Range: bytes=2-4")).await;
    assert_eq!((status, &*content), (206, "234"));
    assert_eq!(field(&head, "content-range"), Some("bytes 2-4/10"));
    let (status, _, content) = ask(&gateway, &asked(&format!("If-None-Match: {etag}"))).await;
    assert_eq!((status, &*content), (304, ""));
    assert_eq!(get(&gateway, "/").await.2, "index");
    let (status, head, _) = get(&gateway, "/missing").await;
    assert_eq!(status, 404);
    assert_eq!(field(&head, "x-usual"), None);
    assert_eq!(field(&head, "x-always"), Some("/missing"));
    let (status, head, _) = get(&gateway, "/sub").await;
    assert_eq!(status, 301);
    assert!(field(&head, "location").unwrap().ends_with("/sub/"));
    assert_eq!(get(&gateway, "/sub/").await.0, 403);
    assert_eq!(get(&gateway, "/../etc/passwd").await.0, 400);
    let (status, _, _) = ask(&gateway, "POST /a.html HTTP/1.1\r\nHost: a").await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn try_files_takes_the_first_that_exists() {
    let dir = ScratchDir::new("try");
    dir.write("b.html", "b");
    let root = dir.path().to_str().unwrap().to_owned();
    let candidate = |path: &str| TryCandidate {
        path: template(path),
        is_directory: false,
    };
    let gateway = running(vec![
        location(1, prefix("/"), |scope| {
            scope.settings.root = Template::literal(root);
            scope.settings.try_files = Some(TryFiles {
                candidates: vec![candidate("$uri"), candidate("$uri.html")],
                last: TryLast::Uri(template("/else?$uri")),
            });
        }),
        text(2, "/else", "else $args"),
    ]);
    assert_eq!(get(&gateway, "/b").await.2, "b");
    assert_eq!(get(&gateway, "/c").await.2, "else /c");
}

#[tokio::test]
async fn denied_clients_get_403_and_too_fast_ones_503() {
    let limited = |number, path: &str| {
        let mut location = location(number, prefix(path), |scope| {
            scope.settings.limit_req = vec![LimitReq {
                zone: ZoneId(0),
                burst: 0,
                delay: Delay::None,
            }];
        });
        Arc::make_mut(&mut location.scope).content = Content::StubStatus;
        location
    };
    let denied = location(1, prefix("/denied"), |scope| {
        scope.settings.access = vec![AccessRule {
            network: Network::All,
            allows: false,
        }];
    });
    let mut config = config(server(vec![denied, limited(2, "/")]), Vec::new());
    config.http.as_mut().unwrap().limit_req_zones = vec![LimitReqZone {
        name: "z".into(),
        key: template("$binary_remote_addr"),
        size: 65536,
        rate: 1,
    }];
    let gateway = Running::start(&config);
    assert_eq!(get(&gateway, "/denied").await.0, 403);
    let (status, _, content) = get(&gateway, "/").await;
    assert_eq!(status, 200);
    assert!(content.starts_with("Active connections: 1 \nserver accepts handled requests\n"));
    assert_eq!(get(&gateway, "/").await.0, 503);
}

fn logged(config: &mut Config, path: std::path::PathBuf, line: &str) {
    let http = config.http.as_mut().unwrap();
    http.log_files = vec![LogFile {
        path,
        buffer: 0,
        flush: None,
    }];
    let format = Arc::new(LogFormat {
        name: "f".into(),
        escape: keepline_gateway::config::Escape::Default,
        line: template(line),
    });
    let server = Arc::make_mut(&mut http.servers[0]);
    for location in &mut server.locations {
        let scope = Arc::make_mut(&mut Arc::make_mut(location).scope);
        scope.settings.access_logs = vec![AccessLog {
            file: LogFileId(0),
            format: Arc::clone(&format),
            condition: None,
        }];
    }
}

#[tokio::test]
async fn requests_are_logged_with_what_the_upstream_did() {
    let dir = ScratchDir::new("log");
    let answer = "HTTP/1.1 200 Fine\r\nX-Up: 1\r\nContent-Length: 2\r\n\r\nok";
    let peer = Peer::start(Script::new().repeat_forever(Script::new().expect_head().send(answer)));
    let mut config = config(
        server(vec![proxied("/", |_| {})]),
        vec![upstream(&[peer.addr()])],
    );
    let path = dir.path().join("access.log");
    let line = "$request $status $body_bytes_sent $upstream_addr $upstream_status \
                $upstream_http_x_up $sent_http_x_up $http_none [$upstream_opened]";
    logged(&mut config, path.clone(), line);
    let gateway = Running::start(&config);
    let (_, head, _) = get(&gateway, "/1").await;
    assert!(head.starts_with("HTTP/1.1 200 Fine\r\n"), "{head}");
    get(&gateway, "/2").await;
    let addr = peer.addr();
    drop(gateway);
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        format!(
            "GET /1 HTTP/1.1 200 2 {addr} 200 1 1 - [first]\n\
             GET /2 HTTP/1.1 200 2 {addr} 200 1 1 - [reused]\n"
        )
    );
}

#[tokio::test]
async fn keepalive_settings_are_those_of_the_location() {
    let (mut few, mut none) = (text(1, "/few", "x"), text(2, "/none", "x"));
    Arc::make_mut(&mut few.scope).client.keepalive.requests = 2;
    Arc::make_mut(&mut few.scope).client.keepalive.told = Some(Duration::from_secs(9));
    Arc::make_mut(&mut none.scope).client.keepalive.timeout = Duration::ZERO;
    let gateway = running(vec![few, none]);
    let mut client = gateway.connect().await;
    for expected in ["keep-alive", "close"] {
        client.send("GET /few HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let head = client.read_head().await;
        assert_eq!(field(&head, "connection"), Some(expected), "{head}");
        let told = (expected == "keep-alive").then_some("timeout=9");
        assert_eq!(field(&head, "keep-alive"), told);
        client.read_exactly(1).await;
    }
    client.read_to_end().await;
    let mut client = gateway.connect().await;
    client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        field(&client.read_head().await, "connection"),
        Some("close")
    );
}
