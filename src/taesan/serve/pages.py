"""The web page's files, read once: a fixed few, so that no address reaches any other file."""

from importlib.resources import files

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Each file's content and content type, by its address; `/` is `index.html`."""
    found: dict[str, tuple[bytes, str]] = {}
    for file in files("taesan.serve").joinpath("page").iterdir():
        kind = KINDS.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            found["/" if file.name == "index.html" else f"/{file.name}"] = (file.read_bytes(), kind)
    return found
