//! What is wanted of a process: data alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    IsolationFault, Layer,
    call::Call,
    value::{IoPriority, Value},
};

/// What holds each process apart from its siblings, and limits what it uses. By default nothing.
///
/// A layer is wanted where it is possible; a required one must be. In files and flags it is a list of texts, each
/// a layer's [name](Layer::name) with its value: `["siblings", "require signals", "open-files=256", "connect=443"]`, where
/// `siblings` stands for those of [`siblings_apart`](Self::siblings_apart).
///
/// # Examples
///
/// ```
/// use prefork_isolate::{Isolation, Layer};
///
/// let isolation = Isolation::new().siblings_apart().require(Layer::Signals).max_open_files(256);
/// let texts = ["siblings", "require signals", "open-files=256"];
/// assert_eq!(isolation, Isolation::parse(texts)?);
/// # Ok::<(), prefork_isolate::IsolationFault>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Isolation {
    pub(crate) wanted: BTreeMap<Layer, Wanted>,
}

/// What is wanted of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) is_required: bool,
    pub(crate) value: Value,
}

impl Isolation {
    /// Makes one that asks for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Returns whether a layer is asked for.
    #[must_use]
    pub fn wants(&self, layer: Layer) -> bool {
        self.wanted.contains_key(&layer)
    }

    /// Keeps siblings from signalling, tracing, reading, writing and slowing down one another: [`Layer::SIBLINGS`].
    #[must_use]
    pub fn siblings_apart(self) -> Self {
        Layer::SIBLINGS.into_iter().fold(self, |this, layer| this.want(layer, Value::Nothing))
    }

    /// Has a start fail where this layer is not possible. One that takes a value is to be given it as well.
    #[must_use]
    pub fn require(mut self, layer: Layer) -> Self {
        let given = self.wanted.get(&layer).map(|wanted| wanted.value.clone());
        let value = given.or_else(|| Value::parse(layer.kind(), None).ok());
        let value = value.unwrap_or(Value::Nothing);
        self.wanted.insert(layer, Wanted { is_required: true, value });
        self
    }

    /// Has a start fail where any layer that was asked for so far is not possible.
    #[must_use]
    pub fn require_all(mut self) -> Self {
        self.wanted.values_mut().for_each(|wanted| wanted.is_required = true);
        self
    }

    /// Keeps it, and all that it starts, from gaining rights by executing files.
    #[must_use]
    pub fn no_new_privileges(self) -> Self {
        self.want(Layer::NoNewPrivileges, Value::Nothing)
    }

    /// Keeps everybody but root from tracing it and reading its memory, and the system from dumping it, until it executes a
    /// file.
    #[must_use]
    pub fn not_dumpable(self) -> Self {
        self.want(Layer::NotDumpable, Value::Nothing)
    }

    /// Refuses to connect to TCP ports other than this one and those allowed before.
    #[must_use]
    pub fn connect(self, port: u16) -> Self {
        self.want(Layer::Connect, Value::Ports([port].into()))
    }

    /// Refuses to bind to TCP ports other than this one and those allowed before.
    #[must_use]
    pub fn bind(self, port: u16) -> Self {
        self.want(Layer::Bind, Value::Ports([port].into()))
    }

    /// Refuses new sockets but those of UNIX, with `EPERM`, and `io_uring`, which could make some.
    #[must_use]
    pub fn no_network(self) -> Self {
        self.want(Layer::NoNetwork, Value::Nothing)
    }

    /// Refuses a system call with `EPERM`; see [`denied_calls`](Self::denied_calls).
    ///
    /// # Errors
    ///
    /// Fails if that is none of [`denied_calls`](Self::denied_calls).
    pub fn deny(self, call: &str) -> Result<Self, IsolationFault> {
        let unknown = || IsolationFault::call(call);
        let call = Call::by_name(call).ok_or_else(unknown)?;
        Ok(self.want(Layer::Deny, Value::Calls([call].into())))
    }

    /// Returns the names of the system calls that can be refused.
    pub fn denied_calls() -> impl Iterator<Item = &'static str> {
        Call::names()
    }

    /// Gives it a `/tmp` and a `/var/tmp` of its own, in memory, of at most so many bytes each.
    #[must_use]
    pub fn private_tmp(self, bytes: u64) -> Self {
        self.want(Layer::PrivateTmp, Value::Size(bytes))
    }

    /// Sets how many descriptors it may have.
    #[must_use]
    pub fn max_open_files(self, count: u64) -> Self {
        self.want(Layer::OpenFiles, Value::Count(count))
    }

    /// Sets how many processes and threads its user may have, all of them counted, when it starts another one.
    #[must_use]
    pub fn max_processes(self, count: u64) -> Self {
        self.want(Layer::Processes, Value::Count(count))
    }

    /// Sets for how many seconds it may compute, from its start to its end.
    #[must_use]
    pub fn max_cpu_time(self, seconds: u64) -> Self {
        self.want(Layer::CpuTime, Value::Count(seconds))
    }

    /// Sets how large, in bytes, a file may become by its writing.
    #[must_use]
    pub fn max_file_size(self, bytes: u64) -> Self {
        self.want(Layer::FileSize, Value::Size(bytes))
    }

    /// Sets how large its core dump may be, in bytes.
    #[must_use]
    pub fn max_core_size(self, bytes: u64) -> Self {
        self.want(Layer::CoreSize, Value::Size(bytes))
    }

    /// Sets how many bytes of memory of its own it may ask for.
    #[must_use]
    pub fn max_data(self, bytes: u64) -> Self {
        self.want(Layer::Data, Value::Size(bytes))
    }

    /// Sets how many bytes of addresses it may have, shared memory and mapped files included.
    #[must_use]
    pub fn max_address_space(self, bytes: u64) -> Self {
        self.want(Layer::AddressSpace, Value::Size(bytes))
    }

    /// Sets how nice it is to others: -20, for which it takes root, to 19. Values beyond are taken as these.
    #[must_use]
    pub fn nice(self, nice: i32) -> Self {
        self.want(Layer::Nice, Value::Nice(nice.clamp(-20, 19)))
    }

    /// Sets in which order the disk serves it. Of a level above 7, 7 is taken.
    #[must_use]
    pub fn io_priority(self, priority: IoPriority) -> Self {
        let priority = match priority {
            IoPriority::BestEffort(level) => IoPriority::BestEffort(level.min(7)),
            IoPriority::Idle => IoPriority::Idle,
        };
        self.want(Layer::IoPriority, Value::IoPriority(priority))
    }

    /// Lets it run on this processor, and those given before, alone.
    #[must_use]
    pub fn cpu(self, cpu: u16) -> Self {
        self.want(Layer::Cpus, Value::Cpus([cpu].into()))
    }

    pub(crate) fn want(mut self, layer: Layer, value: Value) -> Self {
        match self.wanted.get_mut(&layer) {
            Some(wanted) => wanted.value.merge(value),
            None => drop(self.wanted.insert(layer, Wanted { is_required: false, value })),
        }
        self
    }
}
