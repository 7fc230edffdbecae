//! reqwest with its defaults, without TLS and system proxies. Arguments: URL, method.

use std::time::Duration;

use reqwest::{Client, Method};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("no URL")?;
    let method: Method = args.next().ok_or("no method")?.parse()?;
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()?;
    for number in 0..3 {
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(333)).await;
        }
        match ask(&client, &method, &url).await {
            Ok(content) => println!("ok {content}"),
            Err(error) if error.is_timeout() => println!("timeout"),
            Err(_) => println!("error"),
        }
    }
    Ok(())
}

async fn ask(client: &Client, method: &Method, url: &str) -> reqwest::Result<String> {
    let mut request = client.request(method.clone(), url);
    if method == Method::POST {
        request = request.body("hi");
    }
    request.send().await?.text().await
}
