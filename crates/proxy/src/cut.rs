//! How a drain's deadline reaches what is still in flight: connections to replicas, and tunnels.

use crate::seat::lock;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

/// One thing that can be cut. Whoever drives it asks at each poll, and is woken when it is time.
#[derive(Default)]
pub(crate) struct Cut {
    is_cut: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cut {
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = lock(&self.waker);
        // Under the lock: whoever cuts afterwards finds this waker.
        if self.is_cut.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => (),
            _ => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn cut(&self) {
        let mut waker = lock(&self.waker);
        self.is_cut.store(true, Ordering::Relaxed);
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

/// All that one core has in flight to one revision and can be cut. Forgets what has ended.
#[derive(Default)]
pub(crate) struct Cuts(Mutex<Vec<Weak<Cut>>>);

impl Cuts {
    pub(crate) fn join(&self) -> Arc<Cut> {
        let cut = Arc::<Cut>::default();
        let mut cuts = lock(&self.0);
        if cuts.len() == cuts.capacity() {
            cuts.retain(|known| known.strong_count() > 0);
            let room = cuts.len().max(16);
            cuts.reserve(room);
        }
        cuts.push(Arc::downgrade(&cut));
        cut
    }

    pub(crate) fn cut(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        all.iter().filter_map(Weak::upgrade).for_each(|cut| cut.cut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_reaches_those_that_live_once() {
        let cuts = Cuts::default();
        let (early, gone, late) = (cuts.join(), cuts.join(), cuts.join());
        drop(gone);
        let cx = Context::from_waker(Waker::noop());
        assert!(early.poll(&cx).is_pending());
        cuts.cut();
        assert!(early.poll(&cx).is_ready() && late.poll(&cx).is_ready());
        assert!(cuts.join().poll(&cx).is_pending());
    }

    #[test]
    fn those_that_ended_are_forgotten() {
        let cuts = Cuts::default();
        (0..10_000).for_each(|_| drop(cuts.join()));
        assert!(lock(&cuts.0).capacity() < 100);
    }
}
