# Sourced by the other scripts: puts a complete .venv at the root of this checkout, once.
# Needs Python 3.11 or newer; everything else comes from PyPI at the versions of scripts/constraints.txt.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

make_venv() {
    local wanted stamp=$venv/.installed
    wanted=$(cat "$root/pyproject.toml" "$root/scripts/constraints.txt")
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return

    echo "asr: installing into .venv (once, about a minute)" >&2
    local python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "asr: error: $python is older than Python 3.11; set PYTHON to a newer one" >&2
        exit 2
    }
    [[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
    # uv installs faster than pip, which does where uv is not to be had: its failure must not end the script
    local uv
    uv=$(command -v uv) || {
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$root/scripts/constraints.txt" uv || true
        uv=$venv/bin/uv
    }
    if [[ -x $uv ]]; then
        "$uv" pip install --quiet --python "$venv/bin/python" --constraint "$root/scripts/constraints.txt" --editable "$root[dev]"
    else
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$root/scripts/constraints.txt" --editable "$root[dev]"
    fi
    printf '%s\n' "$wanted" >"$stamp"
}

make_venv
