"""Servers that lie: another version's range, ranges refused for ever, bodies without end, pages and nothing for a file."""

import gzip
import hashlib
import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_download import BODY, TWO, entry, get, offer, server, status, tarred, tree  # noqa: F401

from foir_lib.data.getting import fetch
from foir_lib.errors import IntegrityError, MissingError

OLD, NEW = BODY, BODY[::-1]


def say(handler, code, body=b"", **headers):
    """One answer: a code, headers (underscores for hyphens) and a body."""
    handler.send_response(code)
    for name, value in {"Content_Length": len(body), **headers}.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    if body:
        handler.wfile.write(body)


def start(handler):
    """The first byte that a request wants, 0 for all."""
    wanted = re.match(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    return int(wanted[1]) if wanted else 0


@pytest.fixture
def unknown(offer, server):  # noqa: F811
    """A file l.txt of unknown size and checksum; the root of its set."""
    root = offer({})
    offer.place(entry(server.url, {"l.txt": (None, None)}))
    root.mkdir()
    return root


def left(root, of='"old"', part=OLD[:300_000]):
    """What a broken run left: a part, and what it is a part of."""
    (root / "l.txt.part").write_bytes(part)
    if of:
        (root / "l.txt.part.of").write_text(of)


def version(body, etag, heeds=True):
    """A server's answers with one version of a file; it may not heed If-Range."""

    def answer(handler):
        first, same = start(handler), handler.headers.get("If-Range") in (etag, None) or not heeds
        if first and same:
            return say(handler, 206, body[first:], Content_Range=f"bytes {first}-{len(body) - 1}/{len(body)}", ETag=etag)
        say(handler, 200, body, ETag=etag)

    return answer


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("of", ['"old"', None])
def test_two_versions_of_a_file_never_mix(unknown, server, of, heeds):  # noqa: F811
    left(unknown, of)
    server.lie = version(NEW, '"new"', heeds)
    assert status(get(unknown)) == {"l.txt": "unverified"} and (unknown / "l.txt").read_bytes() == NEW
    assert tree(unknown) == ["archives/.lock", "l.txt"]


def test_the_same_version_is_resumed_and_by_its_time_too(unknown, server):  # noqa: F811
    time = "Wed, 21 Oct 2015 07:28:00 GMT"
    for etag, note in (('"old"', '"old"'), ('W/"old"', time)):
        left(unknown, note)

        def answer(handler, etag=etag, note=note):
            first = start(handler)
            assert handler.headers["If-Range"] == note
            span = f"bytes {first}-{len(OLD) - 1}/{len(OLD)}"
            say(handler, 206, OLD[first:], Content_Range=span, ETag=etag, Last_Modified=time)

        server.lie = answer
        get(unknown)
        assert (unknown / "l.txt").read_bytes() == OLD
        (unknown / "l.txt").unlink()


@pytest.mark.parametrize("note", [b"x\r\nEvil: 1", "\u20ac".encode(), b"\xff\xfe\0", b"", b" old", b"a" * 100_000])
def test_a_damaged_note_beside_a_part_blocks_nobody(unknown, server, note):  # noqa: F811
    left(unknown, None)
    (unknown / "l.txt.part.of").write_bytes(note)
    server.lie = version(NEW, '"new"')
    get(unknown)
    assert (unknown / "l.txt").read_bytes() == NEW and tree(unknown) == ["archives/.lock", "l.txt"]


def test_without_etag_or_time_a_part_begins_again(unknown, server):  # noqa: F811
    def answer(handler):
        assert not start(handler)
        say(handler, 200, NEW)

    left(unknown, None)
    server.lie = answer
    get(unknown)
    assert (unknown / "l.txt").read_bytes() == NEW


def test_ranges_refused_for_ever_end_in_words(unknown, server):  # noqa: F811
    left(unknown)
    server.lie = lambda handler: say(handler, 416, Content_Range="bytes */1")
    with pytest.raises(MissingError, match="the server answered 416"):
        get(unknown)
    assert len(server.requests) <= 3


def test_a_file_that_changes_with_every_request_ends_in_words(unknown, server):  # noqa: F811
    numbers = itertools.count()

    def answer(handler):
        n = next(numbers)
        if start(handler):
            return say(handler, 206, b"x", Content_Range=f"bytes {start(handler)}-{start(handler)}/9", ETag=f'"{n}"')
        say(handler, 200, BODY[:1000], ETag=f'"{n}"', Content_Length=len(BODY))
        handler.close_connection = True

    server.lie = answer
    with pytest.raises(MissingError, match="another one each time|no connection, or it broke"):
        get(unknown)
    assert len(server.requests) < 10


def endless(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    while True:
        handler.wfile.write(b"x" * 1_000_000)


def test_a_body_without_end_is_cut_off_at_the_known_size(offer, server):  # noqa: F811
    root = offer({"l.txt": BODY}, known=False)
    server.lie = endless
    with pytest.raises(IntegrityError, match=f"expected {len(BODY)} bytes, got more than {len(BODY)} bytes"):
        get(root)
    assert tree(root) == ["archives/.lock"]


def test_a_body_without_end_and_size_leaves_some_of_the_disk(unknown, server, monkeypatch):  # noqa: F811
    usage = fetch.shutil.disk_usage(unknown)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage._replace(free=fetch.SPARE + 5_000_000))
    server.lie = endless
    with pytest.raises(IntegrityError, match="expected a file that fits on the disk, got more than 5000000 bytes"):
        get(unknown)
    assert tree(unknown) == ["archives/.lock"]


def test_gzip_that_grows_is_cut_off_too(offer, server):  # noqa: F811
    root = offer({"l.txt": BODY}, known=False)
    server.lie = lambda handler: say(handler, 200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
    with pytest.raises(IntegrityError, match=f"got more than {len(BODY)} bytes"):
        get(root)
    assert tree(root) == ["archives/.lock"]


def test_gzip_that_nobody_asked_for_is_unpacked(offer, server):  # noqa: F811
    root = offer({"l.txt": BODY})
    server.lie = lambda handler: say(handler, 200, gzip.compress(BODY), Content_Encoding="gzip", ETag='"zipped"')
    assert status(get(root)) == {"l.txt": "ok"} and (root / "l.txt").read_bytes() == BODY


PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title></html>"
NO_FILE = {
    "a page": (200, PAGE, {"Content_Type": "text/html; charset=utf-8"}),
    "a page by another name": (200, PAGE, {"Content_Type": "application/octet-stream"}),
    "a page behind a byte order mark": (200, b"\xef\xbb\xbf<HTML><body/></HTML>", {}),
    "a storage server's error": (200, b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', {"Content_Type": "application/xml"}),
    "an encoding that nobody asked for": (200, BODY, {"Content_Encoding": "br"}),
    "an unknown encoding": (200, BODY, {"Content_Encoding": "rot13"}),
    "an address that is none": (302, b"", {"Location": "http://[bad"}),
    "no content": (204, b"", {}),
    "nothing": (200, b"", {}),
    "a part of nothing": (206, b"", {}),
    "a redirect to nowhere": (300, b"", {}),
}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", NO_FILE)
def test_what_is_no_file_is_not_counted_as_got(offer, server, kind, known):  # noqa: F811
    root = offer({"l.txt": BODY, "p.zip": BODY}, [TWO])
    if not known:
        offer.place(entry(server.url, {"l.txt": (None, None), "p.zip": (None, None)}, [TWO]))
    code, body, headers = NO_FILE[kind]
    server.lie = lambda handler: say(handler, code, body, **headers)
    with pytest.raises((MissingError, IntegrityError)) as caught:
        get(root)
    assert server.url in str(caught.value) and "\n" not in str(caught.value)
    assert tree(root) == ["archives/.lock"]


def test_a_page_does_not_cost_the_part_that_is_there(unknown, server):  # noqa: F811
    left(unknown)
    server.lie = lambda handler: say(handler, 200, PAGE, Content_Type="text/html")
    with pytest.raises(MissingError, match="a web page instead"):
        get(unknown)
    server.lie = version(OLD, '"old"')
    get(unknown)
    assert server.requests[-1][1] == "bytes=300000-" and (unknown / "l.txt").read_bytes() == OLD


def test_what_is_no_archive_is_refused_and_removed(offer, server):  # noqa: F811
    root = offer({"p.zip": b"Not found, sorry. " * 100}, [TWO], known=False)
    with pytest.raises(IntegrityError, match="p.zip sends is no archive: try again later"):
        get(root)
    assert tree(root) == ["archives/.lock"]
    good = tarred(("val/a.jpg", b"a"), ("val/b.jpg", b"b"), mode="w:gz")
    server.files["p.zip"] = good
    offer.place(entry(server.url, {"p.zip": (None, None)}, [TWO]))
    assert status(get(root)) == {"p.zip": "unverified", "val/*.jpg": "ok"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["old", "new"]), st.booleans(), st.integers(0, len(OLD)), st.booleans()), max_size=6))
def test_whatever_a_server_does_a_file_is_one_version_whole(server, tmp_path, answers):  # noqa: F811
    """Answers in turn: a version, whether it heeds If-Range, where it breaks off, whether it says its length; then a good one."""
    (tmp_path / "l").unlink(missing_ok=True)
    turns = iter(answers)

    def answer(handler):
        name, heeds, end, tells = next(turns, ("new", True, len(NEW), True))
        body = {"old": OLD, "new": NEW}[name]
        first = start(handler)
        if heeds and handler.headers.get("If-Range") not in (f'"{name}"', None):
            first = 0
        span = {"Content_Range": f"bytes {first}-{len(body) - 1}/{len(body)}"} if first else {}
        length = {"Content_Length": len(body) - first} if tells else {"Content_Length": None, "Connection": "close"}
        say(handler, 206 if first else 200, body[first : max(first, end)], ETag=f'"{name}"', **span, **length)
        handler.close_connection = True

    server.lie = answer
    for _ in range(len(answers) + 1):
        try:
            fetch.fetch(server.url + "l", tmp_path / "l", len(OLD), progress=False)
        except (fetch.requests.RequestException, IntegrityError):
            continue
        break
    digest = hashlib.sha256((tmp_path / "l").read_bytes()).digest()
    assert digest in {hashlib.sha256(body).digest() for body in (OLD, NEW)}
