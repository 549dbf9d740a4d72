"""A person at a terminal: runs a command on one, waits for what it shows, types, changes its size. Each step is an argument.

expect:TEXT   waits until TEXT has been shown since the last step
send:TEXT     types TEXT, with the escapes of Python
size:ROWSxCOLUMNS
"""
import codecs, fcntl, os, pty, select, struct, sys, termios, time

LIMIT = 15


def resize(fd, text):
    rows, columns = (int(side) for side in text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def expect(fd, shown, text):
    end = time.monotonic() + LIMIT
    while text not in shown:
        if time.monotonic() > end:
            sys.exit(f"waited in vain for {text!r}: {shown!r}")
        if select.select([fd], [], [], 0.1)[0]:
            try:
                piece = os.read(fd, 4096)
            except OSError:
                piece = b""
            if not piece:
                sys.exit(f"it ended before {text!r}: {shown!r}")
            shown += piece
    return shown.split(text, 1)[1]


def main():
    split = sys.argv.index("--")
    steps, command = sys.argv[1:split], sys.argv[split + 1:]
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    resize(fd, "30x100")
    shown = b""
    for step in steps:
        kind, text = step.split(":", 1)
        if kind == "size":
            resize(fd, text)
        elif kind == "send":
            os.write(fd, codecs.decode(text, "unicode_escape").encode("latin-1"))
        else:
            shown = expect(fd, shown, text.encode())
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


main()
