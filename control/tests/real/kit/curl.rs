//! `curl` as the client.

use testkit::{APPLIANCE, PORT, Response, Tool};

/// One request of `curl`.
#[derive(Clone, Debug)]
pub(crate) struct Curl {
    path: String,
    arguments: Vec<String>,
    to_head: bool,
}

/// An answer, and the request it belongs to, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The request.
    pub(crate) what: String,
    /// Its final answer.
    pub(crate) answer: Response,
    /// Whether `100 Continue` came before it.
    pub(crate) interim: bool,
}

impl Curl {
    /// `GET path`.
    pub(crate) fn get(path: &str) -> Self {
        Self { path: path.to_owned(), arguments: Vec::new(), to_head: false }
    }

    /// `HEAD path`.
    pub(crate) fn head(path: &str) -> Self {
        Self { to_head: true, ..Self::get(path).with(&["--head"]) }
    }

    /// `POST path` with this body.
    pub(crate) fn post(path: &str, body: &str) -> Self {
        Self::get(path).with(&["--data-binary", body])
    }

    /// Another method.
    pub(crate) fn method(self, method: &str) -> Self {
        self.with(&["--request", method])
    }

    /// With a field line.
    pub(crate) fn field(self, name: &str, value: &str) -> Self {
        self.with(&["--header", &format!("{name}: {value}")])
    }

    /// With more arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Asks, and takes the answer as it came.
    #[track_caller]
    pub(crate) fn ask(self) -> Shown {
        let to_head = self.to_head;
        let what = format!("curl {} {}", self.arguments.join(" "), self.path);
        let bytes = self.with(&["--include", "--raw"]).bytes();
        let read = |bytes: &[u8]| {
            Response::read(bytes, to_head).unwrap_or_else(|| panic!("no whole answer: {what}"))
        };
        let (first, len) = read(&bytes);
        let interim = first.status == 100;
        let (answer, len) = if interim {
            let (answer, rest) = read(&bytes[len..]);
            (answer, len + rest)
        } else {
            (first, len)
        };
        assert_eq!(len, bytes.len(), "nothing follows the answer: {what}");
        Shown { what, answer, interim }
    }

    /// Asks for any content coding that curl knows, and takes the content, decoded.
    #[track_caller]
    pub(crate) fn decoded(self, coding: &str) -> Vec<u8> {
        self.field("Accept-Encoding", coding).with(&["--compressed"]).bytes()
    }

    #[track_caller]
    fn bytes(self) -> Vec<u8> {
        let url = format!("http://{APPLIANCE}:{PORT}{}", self.path);
        let mut arguments = vec!["--silent", "--show-error", "--http1.1", "--path-as-is"];
        arguments.extend(["--max-time", "20"]);
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.push(&url);
        let output = Tool::new(25, "curl", &arguments).output();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {arguments:?}: {}: {errors}", output.status);
        output.stdout
    }
}

impl Shown {
    /// The status must be this one.
    #[track_caller]
    pub(crate) fn status(self, status: u16) -> Self {
        assert_eq!(self.answer.status, status, "{}: {:?}", self.what, self.answer.fields);
        self
    }

    /// The content must be this.
    #[track_caller]
    pub(crate) fn body(self, body: impl AsRef<[u8]>) -> Self {
        let (got, expected) = (&self.answer.body[..], body.as_ref());
        if got != expected {
            let at = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
            panic!(
                "{}: got {} bytes, expected {}, first difference at {at}: {:?}",
                self.what,
                got.len(),
                expected.len(),
                String::from_utf8_lossy(&got[at..got.len().min(at + 80)])
            );
        }
        self
    }

    /// A field must have this value.
    #[track_caller]
    pub(crate) fn has(self, name: &str, value: &str) -> Self {
        let got = self.answer.field(name);
        assert_eq!(got, Some(value), "{}: field {name}", self.what);
        self
    }

    /// A field must not be there.
    #[track_caller]
    pub(crate) fn lacks(self, name: &str) -> Self {
        assert_eq!(self.answer.field(name), None, "{}: field {name}", self.what);
        self
    }

    /// The value of a field, which must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> String {
        let Some(value) = self.answer.field(name) else {
            panic!("{}: no field {name} in {:?}", self.what, self.answer.fields)
        };
        value.to_owned()
    }
}
