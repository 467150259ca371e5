//! The queue in Redis: jobs that are taken, stored and put back, each in one step.
//!
//! A connection can end before the answer to what was asked is there, and nobody knows then whether it was done.
//! So everything may be asked for twice:
//!
//! - A job that was taken is on the worker's own list, where it is found again.
//! - A worker numbers its results, and Redis notes the number of the last that was stored, with the result. One that
//!   is sent again is stored once, and one that a Redis without its data has lost is stored too.
//! - Putting back moves what is on a list, or finds nothing.

use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection, Direction, RedisResult};

use crate::worker;

/// How long a child waits for a job before it looks whether it is to leave, in seconds.
const WAIT: f64 = 0.5;

/// How long a Redis may take to answer, beyond that.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often each worker looks for jobs of those that are gone.
const ROUND: Duration = Duration::from_secs(1);

/// How often a job may end a child.
const TRIES: u32 = 3;

/// Stores a result, unless it is stored already. The number of a worker that is gone is forgotten after a day.
const STORE: &str = r"
    local taken, done, tries, number = unpack(KEYS)
    if tonumber(redis.call('GET', number) or 0) < tonumber(ARGV[3]) then
        redis.call('LPUSH', done, ARGV[2])
        redis.call('LREM', taken, 1, ARGV[1])
        redis.call('HDEL', tries, ARGV[1])
        redis.call('SET', number, ARGV[3], 'EX', 86400)
    end";

/// Puts all jobs of a list back, where they are taken next, or aside.
const PUT_BACK: &str = r"
    local taken, queue, tries, failed = unpack(KEYS)
    local job = redis.call('LINDEX', taken, -1)
    while job do
        if redis.call('HINCRBY', tries, job, 1) < tonumber(ARGV[1]) then
            redis.call('LMOVE', taken, queue, 'RIGHT', 'RIGHT')
        else
            redis.call('LMOVE', taken, failed, 'RIGHT', 'LEFT')
            redis.call('HDEL', tries, job)
        end
        job = redis.call('LINDEX', taken, -1)
    end";

/// Where the jobs are.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    client: Client,
    name: String,
}

impl Queue {
    pub(crate) fn new(server: &str, name: String) -> RedisResult<Self> {
        Ok(Self { client: Client::open(server)?, name })
    }

    /// Connects.
    pub(crate) fn connect(&self) -> RedisResult<Connection> {
        let redis = self.client.get_connection_with_timeout(PATIENCE)?;
        redis.set_read_timeout(Some(PATIENCE + Duration::from_secs_f64(WAIT)))?;
        redis.set_write_timeout(Some(PATIENCE))?;
        Ok(redis)
    }

    /// Returns how many jobs nobody has taken, by a connection that is kept for the next time.
    pub(crate) fn waiting(&self, kept: &mut Option<Connection>) -> RedisResult<u32> {
        // One that has failed is not used again.
        let mut redis = match kept.take() {
            Some(redis) => redis,
            None => self.connect()?,
        };
        let jobs = redis.llen(&self.name)?;
        *kept = Some(redis);
        Ok(jobs)
    }

    /// The key of something that belongs to the queue.
    fn key(&self, what: &str) -> String {
        format!("{}:{what}", self.name)
    }
}

/// What one worker has in hand.
#[derive(Debug)]
pub(crate) struct Hand<'a> {
    queue: &'a Queue,
    /// The list of this worker.
    taken: String,
    /// The key of the number of its last result.
    number: String,
    /// How many jobs it has finished.
    finished: u64,
    /// The job that was finished last with its result, until that is stored.
    result: Option<(String, String)>,
    put_back_at: Option<Instant>,
}

impl<'a> Hand<'a> {
    pub(crate) fn new(queue: &'a Queue, worker: &str) -> Self {
        let taken = queue.key(&format!("taken:{worker}"));
        let number = queue.key(&format!("number:{worker}"));
        Self { queue, taken, number, finished: 0, result: None, put_back_at: None }
    }

    pub(crate) fn connect(&self) -> RedisResult<Connection> {
        self.queue.connect()
    }

    /// Whether every result is stored.
    pub(crate) const fn is_empty(&self) -> bool {
        self.result.is_none()
    }

    /// Takes a job, if there is one within half a second.
    pub(crate) fn take(&self, redis: &mut Connection) -> RedisResult<Option<String>> {
        // One that was moved here, and the answer was lost.
        if let Some(job) = redis.lindex(&self.taken, -1)? {
            return Ok(Some(job));
        }
        redis.blmove(&self.queue.name, &self.taken, Direction::Right, Direction::Left, WAIT)
    }

    /// Keeps a result until it is stored.
    pub(crate) fn finish(&mut self, job: String, result: String) {
        self.finished += 1;
        self.result = Some((job, result));
    }

    /// Stores the result in hand. Returns whether there was one.
    pub(crate) fn store(&mut self, redis: &mut Connection) -> RedisResult<bool> {
        let Some((job, result)) = &self.result else { return Ok(false) };
        let (done, tries) = (self.queue.key("done"), self.queue.key("tries"));
        let () = redis::cmd("EVAL")
            .arg(STORE)
            .arg(4)
            .arg(&[&self.taken, &done, &tries, &self.number])
            .arg(&[job, result])
            .arg(self.finished)
            .query(redis)?;
        self.result = None;
        Ok(true)
    }

    /// Puts back what workers that are gone had in hand, once a second.
    ///
    /// Not once when a worker ends: Redis may be away then, or do later what the worker has asked for before.
    pub(crate) fn put_back_of_others(&mut self, redis: &mut Connection) -> RedisResult<()> {
        if self.put_back_at.is_some_and(|at| at.elapsed() < ROUND) {
            return Ok(());
        }
        self.put_back_at = Some(Instant::now());
        let lists = redis.scan_match("*:taken:*")?.collect::<RedisResult<Vec<String>>>()?;
        let beginning = self.queue.key("taken:");
        for list in lists {
            let Some(worker) = list.strip_prefix(&beginning) else { continue };
            if worker::is_gone(worker)? {
                self.put_back(redis, &list)?;
            }
        }
        Ok(())
    }

    fn put_back(&self, redis: &mut Connection, taken: &str) -> RedisResult<()> {
        let (tries, failed) = (self.queue.key("tries"), self.queue.key("failed"));
        redis::cmd("EVAL")
            .arg(PUT_BACK)
            .arg(4)
            .arg(&[taken, &self.queue.name, &tries, &failed])
            .arg(TRIES)
            .query(redis)
    }
}
