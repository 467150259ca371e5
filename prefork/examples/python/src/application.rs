//! A WSGI application (PEP 3333).

use std::{ffi::CString, net::SocketAddr};

use pyo3::{
    Py, PyAny, PyErr, PyResult, Python,
    types::{PyAnyMethods, PyBytes, PyDict, PyDictMethods, PyModule, PyString},
};

use crate::request::Request;

/// What stands between the application and this program, in Python.
const GATEWAY: &str = include_str!("gateway.py");

/// An application that was loaded.
pub(crate) struct Application {
    callable: Py<PyAny>,
    /// Calls it, and returns status, headers and body.
    call: Py<PyAny>,
}

impl Application {
    /// Loads `module:callable`, looked for in the current directory too, and then keeps the collector of garbage from what
    /// was loaded: it would write to every object that it looks at, and each child would soon have a copy of its own.
    pub(crate) fn load(python: Python<'_>, name: &str) -> PyResult<Self> {
        let gateway = CString::new(GATEWAY)?;
        let gateway = PyModule::from_code(python, &gateway, c"gateway.py", c"gateway")?;
        Ok(Self {
            callable: gateway.getattr("load")?.call1((name,))?.unbind(),
            call: gateway.getattr("call")?.unbind(),
        })
    }

    /// Returns the whole answer to a request. An exception is one with status 500, and logged.
    pub(crate) fn call(
        &self,
        python: Python<'_>,
        request: &Request,
        server: SocketAddr,
        client: SocketAddr,
    ) -> Vec<u8> {
        let answer = self.try_call(python, request, server, client);
        answer.unwrap_or_else(|error: PyErr| {
            // Not `print`, which ends the process where it is a SystemExit.
            error.display(python);
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec()
        })
    }

    fn try_call(
        &self,
        python: Python<'_>,
        request: &Request,
        server: SocketAddr,
        client: SocketAddr,
    ) -> PyResult<Vec<u8>> {
        let environ = PyDict::new(python);
        let text = |bytes: &[u8]| PyString::new(python, &native(bytes));
        for (name, value) in request.variables() {
            environ.set_item(text(name.as_bytes()), text(&value))?;
        }
        environ.set_item("SERVER_NAME", server.ip().to_string())?;
        environ.set_item("SERVER_PORT", server.port().to_string())?;
        environ.set_item("REMOTE_ADDR", client.ip().to_string())?;
        let body = PyBytes::new(python, request.body());
        let answer = self.call.call1(python, (&self.callable, environ, body))?;
        answer.extract(python)
    }
}

/// A text as WSGI has it: each byte is the character of that number.
fn native(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
