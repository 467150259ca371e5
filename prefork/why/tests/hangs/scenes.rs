//! What the processes do that hang.

#![expect(
    unsafe_code,
    reason = "mutexes of glibc, a fork while one is locked, and a main thread of its own are what is looked at"
)]

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Condvar, Mutex, mpsc},
    thread,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, Flock, FlockArg, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        select::{FdSet, select},
        wait::wait,
    },
};

const FOR_EVER: Duration = Duration::from_secs(3600);

/// Plays the scene that is asked for instead of running tests: in the main thread, which has no tests.
#[used]
// SAFETY: functions there are called once, before `main`, with the environment in place.
#[unsafe(link_section = ".init_array")]
static INSTEAD_OF_TESTS: extern "C" fn() = {
    extern "C" fn instead_of_tests() {
        if let (Ok(scene), Ok(argument)) = (std::env::var("SCENE"), std::env::var("ARGUMENT")) {
            play(&scene, &argument);
            std::process::exit(0);
        }
    }
    instead_of_tests
};

fn play(scene: &str, argument: &str) {
    let mut byte = [0];
    match scene {
        "tcp" => {
            let mut socket = TcpStream::connect(argument).expect("connected");
            about_to_hang();
            let _ = socket.read(&mut byte);
        }
        "unix" => {
            let mut socket = UnixStream::connect(argument).expect("connected");
            about_to_hang();
            let _ = socket.read(&mut byte);
        }
        "dns" => {
            // As resolvers do, but for the question: it would be refused where no server is.
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            socket.connect("127.0.0.1:53").expect("no packet is sent");
            about_to_hang();
            let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        }
        "flock" => {
            let file = File::open(argument).expect("opened");
            about_to_hang();
            let _ = Flock::lock(file, FlockArg::LockExclusive);
        }
        "fcntl" => {
            let file = OpenOptions::new().write(true).open(argument).expect("opened");
            about_to_hang();
            let _ = lock_by_fcntl(&file);
        }
        "pipe" => {
            about_to_hang();
            let _ = io::stdin().read(&mut byte);
        }
        "open" => {
            about_to_hang();
            let _ = File::open(argument);
        }
        "disk" => {
            about_to_hang();
            let _ = File::create(argument);
        }
        "cpu" => {
            about_to_hang();
            loop {
                std::hint::black_box(());
            }
        }
        "sleep" => {
            about_to_hang();
            thread::sleep(FOR_EVER);
        }
        "child" => {
            let mut child = Command::new("sleep").arg("3600").spawn().expect("started");
            about_to_hang();
            let _ = child.wait();
        }
        "any child" => {
            let waits = || {
                let mut sleeper = Command::new("sleep").arg("3600").spawn().expect("started");
                about_to_hang();
                let _ = wait();
                let _ = sleeper.wait();
            };
            let _ = thread::spawn(waits).join();
        }
        "listen" => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            about_to_hang();
            let _ = listener.accept();
        }
        "epoll" | "select" => wait_for_many(scene, argument),
        "backlog" => fill_a_backlog(),
        "mutex" => {
            let mutex = Mutex::new(());
            let _first = mutex.lock();
            about_to_hang();
            drop(mutex.lock());
        }
        "condition" => {
            let (mutex, condition) = (Mutex::new(()), Condvar::new());
            about_to_hang();
            drop(condition.wait(mutex.lock().expect("sound")));
        }
        "join" => {
            let other = thread::spawn(|| thread::sleep(FOR_EVER));
            about_to_hang();
            let _ = other.join();
        }
        "threads" => {
            let all: Vec<_> = (0..80).map(|_| thread::spawn(|| thread::sleep(FOR_EVER))).collect();
            about_to_hang();
            all.into_iter().for_each(|it| drop(it.join()));
        }
        "page" => open_what_never_comes(),
        "pthread itself" | "pthread thread" | "pthread fork" => lock_of_glibc(scene),
        other => panic!("no scene {other}"),
    }
}

fn about_to_hang() {
    println!("about to hang");
    io::stdout().flush().expect("somebody reads");
}

fn wait_for_many(scene: &str, peer: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    socket.connect(peer).expect("no packet is sent");
    about_to_hang();
    if scene == "epoll" {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("made");
        for (fd, data) in [(listener.as_fd(), 0), (socket.as_fd(), 1)] {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, data)).expect("added");
        }
        let _ = epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE);
    } else {
        let mut set = FdSet::new();
        set.insert(listener.as_fd());
        set.insert(socket.as_fd());
        let _ = select(None, &mut set, None, None, None);
    }
}

fn fill_a_backlog() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("full");
    let listener = UnixListener::bind(&path).expect("bound");
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).expect("a number"))
        .expect("listens");
    let _first = UnixStream::connect(&path).expect("there is room for one");
    about_to_hang();
    let _ = UnixStream::connect(&path);
}

/// Opens a file whose name is in a page that nobody fills: see `userfaultfd(2)`.
fn open_what_never_comes() {
    const PAGE: usize = 4096;
    const UFFDIO_API: libc::Ioctl = 0xc018_aa3f_u32 as libc::Ioctl;
    const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00_u32 as libc::Ioctl;
    // SAFETY: it makes a descriptor.
    let made = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    let uffd = i32::try_from(made).ok().filter(|fd| *fd >= 0).expect("made");
    let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: it maps memory that nothing else uses.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // The version and what it is to have; the range, and that pages that are missing are waited for.
    let mut version = [0xaa_u64, 0, 0];
    let mut range = [u64::try_from(page.addr()).expect("64 bits"), 4096, 1, 0];
    // SAFETY: the structure is as long as the request says.
    let asked = unsafe { libc::ioctl(uffd, UFFDIO_API, version.as_mut_ptr()) };
    // SAFETY: likewise.
    let registered = unsafe { libc::ioctl(uffd, UFFDIO_REGISTER, range.as_mut_ptr()) };
    assert_eq!((asked, registered), (0, 0));
    about_to_hang();
    // SAFETY: the kernel reads a path there, or waits for it.
    unsafe { libc::open(page.cast(), libc::O_RDONLY) };
}

/// Waits for a lock of the whole file, as `lockf(3)` does.
pub(crate) fn lock_by_fcntl(file: &File) -> nix::Result<()> {
    let lock = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).expect("1"),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLKW(&lock)).map(|_| ())
}

fn lock_of_glibc(scene: &str) {
    struct Shared(*mut libc::pthread_mutex_t);
    // SAFETY: a mutex is for several threads, and this one is never freed.
    unsafe impl Send for Shared {}
    impl Shared {
        fn lock(&self) {
            // SAFETY: it was made by the initializer, and is never moved.
            unsafe { libc::pthread_mutex_lock(self.0) };
        }
    }
    let mutex = Box::leak(Box::new(MaybeUninit::new(libc::PTHREAD_MUTEX_INITIALIZER))).as_mut_ptr();
    if scene == "pthread itself" {
        Shared(mutex).lock();
    } else {
        let (sender, receiver) = mpsc::channel();
        let shared = Shared(mutex);
        let owner = thread::Builder::new().name("the-owner".into()).spawn(move || {
            let shared = shared;
            shared.lock();
            sender.send(()).expect("somebody waits");
            thread::sleep(FOR_EVER);
        });
        drop(owner);
        receiver.recv().expect("locked");
    }
    if scene == "pthread fork" {
        // SAFETY: the child locks a mutex, for ever, and nothing else.
        match unsafe { nix::unistd::fork() }.expect("forked") {
            nix::unistd::ForkResult::Child => Shared(mutex).lock(),
            nix::unistd::ForkResult::Parent { .. } => {
                about_to_hang();
                thread::sleep(FOR_EVER);
            }
        }
    }
    about_to_hang();
    Shared(mutex).lock();
}

/// A file system in a file, whose writers wait.
pub(crate) struct Frozen {
    folder: tempfile::TempDir,
}

impl Frozen {
    /// Mounts and freezes one; `None` where that is not possible.
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a directory");
        let (image, mount) = (folder.path().join("image"), folder.path().join("mount"));
        std::fs::create_dir(&mount).expect("made");
        File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("made");
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]))?;
        let frozen = Self { folder };
        run(Command::new("fsfreeze").arg("-f").arg(frozen.path()))?;
        Some(frozen)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    pub(crate) fn thaw(&self) {
        thaw(&self.path());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        thaw(&self.path());
        let _ = run(Command::new("umount").arg("-l").arg(self.path()));
    }
}

/// What was thawed already gives an error, which does not matter.
fn thaw(path: &Path) {
    let _ = run(Command::new("fsfreeze").arg("-u").arg(path));
}

fn run(command: &mut Command) -> Option<()> {
    let output = command.output().ok()?;
    output.status.success().then_some(())
}
