"""A mail server whose mailbox is read over HTTP, and which fails when it is told to. Started by dev/mail.

SMTP with STARTTLS and a login, on a second port SMTP in TLS from the first byte, and on a third HTTP:

  GET    /messages   the mails, oldest first; they survive a SIGKILL
  DELETE /messages   none any more
  GET    /counts     connections, logins and refused_logins since the start
  GET    /faults     what is to go wrong
  PATCH  /faults     changes some of it, see `Faults`
  DELETE /faults     all goes well again
"""

import argparse
import asyncio
import email
import email.policy
import http.server
import json
import logging
import os
import ssl
import threading
import time
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HOST = "127.0.0.1"
USER = "alerts"


class Faults:
    """What is to go wrong.

    refuse  a code, given in answer at: `data` (once the mail was sent, which is usual), `rcpt` or `mail`
    times   how often; 0 is for ever
    reject  recipients that are refused with 550, the others are not
    slow    seconds until a mail that was taken is acknowledged
    drop    how many mails are not acknowledged: their connection is cut instead
    keep    whether a mail whose connection is cut is in the mailbox all the same
    """

    NONE = {"refuse": 0, "at": "data", "times": 0, "reject": [], "slow": 0, "drop": 0, "keep": True}

    def __init__(self):
        self.lock = threading.Lock()
        self.now = dict(self.NONE)

    def change(self, wanted):
        with self.lock:
            for name, value in wanted.items():
                if name not in self.NONE or not isinstance(value, type(self.NONE[name])):
                    raise ValueError(f"{name}: {value!r} is no fault; there are: {json.dumps(self.NONE)}")
            if wanted.get("at", "data") not in ("mail", "rcpt", "data"):
                raise ValueError("`at` is mail, rcpt or data")
            self.now.update(wanted)

    def clear(self):
        with self.lock:
            self.now = dict(self.NONE)

    def refusal(self, at):
        """The answer that refuses, if it is due."""
        with self.lock:
            code = self.now["refuse"]
            if not code or self.now["at"] != at:
                return None
            if self.now["times"]:
                self.now["times"] -= 1
                if not self.now["times"]:
                    self.now["refuse"] = 0
            return f"{code} {code // 100}.3.0 refused as told"

    def cut(self):
        """Whether the connection is to be cut now."""
        with self.lock:
            due = self.now["drop"] > 0
            self.now["drop"] -= due
            return due


class Mailbox:
    """The mails, in memory and a line each in a file."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.path = path
        self.messages = []
        self.counts = {"connections": 0, "logins": 0, "refused_logins": 0}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as lines:
                # The last may be cut by the end of the process before.
                self.messages = [json.loads(line) for line in lines if line.endswith("\n")]

    def add(self, message):
        with self.lock:
            self.messages.append(message)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(message) + "\n")

    def all(self):
        with self.lock:
            return list(self.messages)

    def clear(self):
        with self.lock:
            self.messages.clear()
            if os.path.exists(self.path):
                os.remove(self.path)

    def count(self, name):
        with self.lock:
            self.counts[name] += 1


def read(session, envelope, encrypted):
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)

    def part(kind):
        found = mail.get_body((kind,))
        return found.get_content() if found else None

    return {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "subject": mail["subject"],
        "text": part("plain"),
        "html": part("html"),
        "headers": {name: str(value) for name, value in mail.items()},
        "tls": encrypted,
        "user": USER if session.authenticated else None,
        "received": time.time(),
    }


class Handler:
    """What is done with a mail."""

    def __init__(self, mailbox, faults):
        self.mailbox, self.faults = mailbox, faults

    async def handle_MAIL(self, server, session, envelope, address, options):
        refusal = self.faults.refusal("mail")
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = self.faults.refusal("rcpt")
        if refusal:
            return refusal
        if address in self.faults.now["reject"]:
            return f"550 5.1.1 no mailbox {address} here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        refusal = self.faults.refusal("data")
        if refusal:
            return refusal
        encrypted = session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None
        message = read(session, envelope, encrypted)
        cut = self.faults.cut()
        if not cut or self.faults.now["keep"]:
            self.mailbox.add(message)
        if cut:
            server.transport.abort()
            return "421 4.3.0 cut as told"
        # It is in the mailbox already: whoever does not wait for the answer sends it twice, as with any server.
        await asyncio.sleep(self.faults.now["slow"])
        return "250 2.0.0 OK"


class Session(SMTP):
    """A connection, which is counted."""

    def __init__(self, mailbox, *args, **settings):
        super().__init__(*args, **settings)
        mailbox.count("connections")


def web(mailbox, faults):
    class Web(http.server.BaseHTTPRequestHandler):
        def answer(self, value, status=200):
            body = json.dumps(value, indent=2, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle_path(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = (self.command, self.path)
            if what == ("DELETE", "/messages"):
                mailbox.clear()
            elif what == ("DELETE", "/faults"):
                faults.clear()
            elif what == ("PATCH", "/faults"):
                try:
                    faults.change(json.loads(body))
                except (ValueError, AttributeError) as error:
                    return self.answer({"error": str(error)}, 400)
            elif self.command != "GET":
                return self.answer({"error": "no such thing"}, 404)
            shown = {"/messages": mailbox.all, "/faults": lambda: faults.now, "/counts": lambda: mailbox.counts}
            if self.path not in shown:
                return self.answer({"error": f"no {self.path}; there are {sorted(shown)}"}, 404)
            return self.answer(shown[self.path]())

        do_GET = do_DELETE = do_PATCH = handle_path

        def log_message(self, *_):
            pass

    return Web


async def serve(options, mailbox, faults):
    def authenticate(server, session, envelope, mechanism, login):
        with open(os.path.join(options.data, "password"), encoding="utf-8") as file:
            password = file.read().strip()
        known = isinstance(login, LoginPassword) and (login.login, login.password) == (USER.encode(), password.encode())
        mailbox.count("logins" if known else "refused_logins")
        # With handled=False aiosmtpd answers: 235 or 535.
        return AuthResult(success=known, handled=False)

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(os.path.join(options.data, "cert.pem"), os.path.join(options.data, "key.pem"))
    loop = asyncio.get_running_loop()
    handler = Handler(mailbox, faults)
    common = {"hostname": "localhost", "ident": "dev/mail", "authenticator": authenticate, "enable_SMTPUTF8": True, "loop": loop}

    def with_starttls():
        return Session(mailbox, handler, tls_context=tls, require_starttls=True, auth_required=True, **common)

    # To aiosmtpd TLS is what STARTTLS begins, so that it must not ask for it where all is in TLS anyway.
    def in_tls():
        return Session(mailbox, handler, auth_required=True, auth_require_tls=False, **common)

    def in_plain_text():
        return Session(mailbox, handler, auth_required=False, auth_require_tls=False, **common)

    await loop.create_server(with_starttls if options.starttls else in_plain_text, HOST, options.smtp)
    await loop.create_server(in_tls, HOST, options.smtps, ssl=tls)
    # The last, since dev/mail takes an answer here for the sign that all is there.
    pages = http.server.ThreadingHTTPServer((HOST, options.http), web(mailbox, faults))
    pages.daemon_threads = True
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for port in ("smtp", "http", "smtps"):
        parser.add_argument(f"--{port}", type=int, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--no-starttls", dest="starttls", action="store_false")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    warnings.simplefilter("ignore", UserWarning)
    asyncio.run(serve(options, Mailbox(os.path.join(options.data, "mailbox.jsonl")), Faults()))


if __name__ == "__main__":
    main()
