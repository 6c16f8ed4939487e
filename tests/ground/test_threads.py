"""Pools of threads: libraries use one thread each inside, and afterwards as many as before, whoever leaves first."""

from threading import Event, Thread

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from foir_lib import threads


def most():
    return max(one["num_threads"] for one in threadpool_info())


def test_limits_are_lifted_when_the_last_has_left():
    inside, leave = Event(), Event()

    def other():
        with threads.one_thread():
            inside.set()
            leave.wait(30)

    with threadpool_limits(2):
        before, thread = most(), Thread(target=other)
        thread.start()
        inside.wait(30)
        with threads.one_thread():
            leave.set()
            thread.join()
            assert most() == 1, "the first to come has left, another one is inside"
        assert most() == before


def test_a_pool_is_as_large_as_this_process_s_share_and_its_threads_work_alone(monkeypatch):
    monkeypatch.setattr(threads, "_shared", [1])
    for share, n in ((1, 4), (2, 2), (9, 1)):
        threads.share(share)
        with threads.single(4) as pool:
            assert pool._max_workers == n
            assert pool.submit(lambda: (threads.is_alone(), torch.get_num_threads())).result() == (True, 1)
    assert not threads.is_alone()


def test_what_was_not_begun_is_not_begun_when_a_pool_is_left():
    ran = []
    try:
        with threads.single(1) as pool:
            pool.submit(lambda: Event().wait(0.2))
            for n in range(50):
                pool.submit(ran.append, n)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert len(ran) < 50
