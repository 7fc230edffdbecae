//! The pages that say what went wrong, as nginx writes them, and what their statuses are called.

/// The page of a status; `None` where there is none (nginx sends no content then).
pub(crate) fn page(status: u16, server: &str) -> Option<String> {
    let title = title(status)?;
    Some(format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         {detail}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n",
        detail = detail(status),
    ))
}

/// What a status is called in its page: number and words.
const fn title(status: u16) -> Option<&'static str> {
    Some(match status {
        301 => "301 Moved Permanently",
        302 => "302 Found",
        303 => "303 See Other",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        400 | 494..=497 => "400 Bad Request",
        401 => "401 Authorization Required",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        404 => "404 Not Found",
        405 => "405 Not Allowed",
        406 => "406 Not Acceptable",
        408 => "408 Request Time-out",
        409 => "409 Conflict",
        410 => "410 Gone",
        411 => "411 Length Required",
        412 => "412 Precondition Failed",
        413 => "413 Request Entity Too Large",
        414 => "414 Request-URI Too Large",
        415 => "415 Unsupported Media Type",
        416 => "416 Requested Range Not Satisfiable",
        421 => "421 Misdirected Request",
        425 => "425 Too Early",
        429 => "429 Too Many Requests",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        505 => "505 HTTP Version Not Supported",
        507 => "507 Insufficient Storage",
        _ => return None,
    })
}

const fn detail(status: u16) -> &'static str {
    match status {
        494 => "<center>Request Header Or Cookie Too Large</center>\r\n",
        495 => "<center>The SSL certificate error</center>\r\n",
        496 => "<center>No required SSL certificate was sent</center>\r\n",
        497 => "<center>The plain HTTP request was sent to HTTPS port</center>\r\n",
        _ => "",
    }
}

/// The reason phrase of a status line, where nginx has another than IANA.
pub(crate) const fn reason(status: u16) -> Option<&'static str> {
    Some(match status {
        302 => "Moved Temporarily",
        401 => "Unauthorized",
        405 => "Not Allowed",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        416 => "Requested Range Not Satisfiable",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_nginx_s() {
        assert_eq!(
            page(404, "keepline").as_deref(),
            Some(
                "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n\
                 <center><h1>404 Not Found</h1></center>\r\n<hr><center>keepline</center>\r\n\
                 </body>\r\n</html>\r\n"
            )
        );
        assert_eq!(page(499, "keepline"), None);
        assert!(page(497, "x").is_some_and(|page| page.contains("400 Bad Request")));
    }
}
