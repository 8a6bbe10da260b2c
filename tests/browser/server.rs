//! The page's only contact: an HTTP server on 127.0.0.1 that hands out the page and carries codes and reports.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than any code or report has.
const MAX_BODY: usize = 1 << 20;

#[derive(Default)]
struct Board {
    /// For the page.
    code_to_page: Option<String>,
    leave: bool,
    /// From the page.
    code_of_page: Option<String>,
    reports: Vec<Value>,
    errors: Vec<String>,
}

pub struct Server {
    port: u16,
    board: Arc<Mutex<Board>>,
}

impl Server {
    /// Its thread lives as long as the test program.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let board = Arc::new(Mutex::new(Board::default()));
        let shared = board.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let board = shared.clone();
                std::thread::spawn(move || serve(stream, &board));
            }
        });
        Self { port, board }
    }

    pub fn page(&self, role: &str) -> String {
        format!("http://127.0.0.1:{}/peer.html?role={role}", self.port)
    }

    pub fn give_code(&self, code: String) {
        self.board().code_to_page = Some(code);
    }
    pub fn take_code(&self) -> Option<String> {
        self.board().code_of_page.take()
    }
    pub fn reports(&self) -> Vec<Value> {
        self.board().reports.clone()
    }
    pub fn errors(&self) -> Vec<String> {
        self.board().errors.clone()
    }
    /// The page says bye and closes at its next report.
    pub fn ask_to_leave(&self) {
        self.board().leave = true;
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request for each connection.
fn serve(stream: TcpStream, board: &Mutex<Board>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut reader = BufReader::new(&stream);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok().filter(|&length| length <= MAX_BODY)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();

    let mut words = request.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let path = target.split('?').next()?;
    let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, answer) = match (method, path) {
        ("GET", "/peer.html") => ("200 OK", include_str!("peer.html").to_owned()),
        ("GET", "/code") => match &board.code_to_page {
            Some(code) => ("200 OK", code.clone()),
            None => ("204 No Content", String::new()),
        },
        ("POST", "/code") => {
            board.code_of_page = Some(body);
            ("200 OK", String::new())
        }
        ("POST", "/report") => {
            board.reports.extend(serde_json::from_str::<Value>(&body));
            ("200 OK", if board.leave { "leave".into() } else { String::new() })
        }
        ("POST", "/error") => {
            board.errors.push(body);
            ("200 OK", String::new())
        }
        _ => ("404 Not Found", String::new()),
    };
    drop(board);
    let kind = if path.ends_with(".html") { "text/html" } else { "text/plain" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    let mut stream = &stream;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(answer.as_bytes()).ok()
}
