# shellcheck shell=bash
# Finds a Python that can run the mail server. Sourced by dev/setup and dev/mail.

python_minimum=3.9 # what the server's libraries ask for

# Whether there is one, and it can make the directory of libraries that the server gets. Debian has that in a package
# of its own.
has_python() {
    python3 -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (${python_minimum/./, }))" >/dev/null 2>&1
}
