"""The home and the toy web service that the agent works on: a configuration, a check, a coloured log, a deployment."""

import random
import shlex
from collections.abc import Iterator
from pathlib import Path

_CONFIGURATION = """\
# shop: the toy web service of the demo
[server]
listen  = "127.0.0.1:8080"
workers = 2
timeout = "30s"

[cache]
size    = "64MB"
expiry  = "10m"
"""

_CHECK = r"""#!/bin/sh
# Reads shop.conf: a red line for each mistake, and status 1.
number=0 mistakes=0
while IFS= read -r line; do
  number=$((number + 1))
  case $line in
    '' | '#'* | '['*']' | *' = "'*'"' | *' = '[0-9] | *' = '[0-9][0-9]) continue ;;
  esac
  mistakes=$((mistakes + 1))
  printf '\033[1;31merror\033[0m shop.conf:%d: the value does not end: \033[33m%s\033[0m\n' "$number" "$line" >&2
done <shop.conf
if [ "$mistakes" -gt 0 ]; then
  printf '\033[1;37;41m %d mistake(s), not usable \033[0m\n' "$mistakes" >&2
  exit 1
fi
printf '\033[1;32m✓ shop.conf is fine\033[0m, %d lines\n' "$number"
"""

_DEPLOY = r"""#!/bin/sh
# Asks for a token without showing it, then draws a progress bar.
./check >/dev/null || exit 1
stty -echo
printf 'deploy token: '
read -r token
stty echo
printf '\n'
[ -n "$token" ] || { echo 'no token, nothing deployed' >&2; exit 1; }
bar='' step=0
while [ "$step" -lt 40 ]; do
  step=$((step + 1))
  bar="$bar█"
  printf '\r%3d%% \033[36m%s\033[0m' $((step * 100 / 40)) "$bar"
  sleep 0.03
done
printf '\n\033[1;32m✓ shop 1.4.2 is live\033[0m\n'
"""

_HEALTH = r"""#!/bin/sh
echo 'worker 1: up'
echo 'health: worker 2 does not answer' >&2
exit 3
"""

_PROFILE = r"""
unset HISTFILE PROMPT_COMMAND MAIL
PATH={path}
LESS=-R LESSHISTFILE=- EDITOR=vi
LS_COLORS='di=1;34:ex=1;32:*.log=33:*.conf=36'
export PATH LESS LESSHISTFILE EDITOR LS_COLORS
if ls --color=auto / >/dev/null 2>&1; then alias ls='ls --color=auto'; fi
if [ -n "$BASH_VERSION" ]; then
  PS1='\[\e[1;32m\]\u@web1\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
else
  PS1="${{USER:-agent}}@web1:shop\$ "
fi
set +o noclobber
"""

_VIMRC = """\
set nocompatible noswapfile nobackup nomodeline viminfo= shortmess+=I number ttimeoutlen=10
silent! syntax on
"""

_EVENTS = (
    ("32", "INFO ", "GET /items 200 12ms"),
    ("32", "INFO ", "GET /items/7 200 9ms"),
    ("33", "WARN ", "cache is 91% full"),
    ("32", "INFO ", "POST /cart 201 31ms"),
    ("31", "ERROR", "worker 2: upstream timeout after 30s"),
    ("32", "INFO ", "GET /health 200 1ms"),
    ("36", "DEBUG", "pool: 4 of 8 connections in use"),
)


def lay_out(home: Path, path: str) -> None:
    """Writes the home folder, which may exist and be empty; its shells look for programs in `path`."""
    shop = home / "shop"
    shop.mkdir(parents=True)
    (home / ".profile").write_text(_PROFILE.format(path=shlex.quote(path)), encoding="utf-8")
    (home / ".vimrc").write_text(_VIMRC, encoding="utf-8")
    (shop / "shop.conf").write_text(_CONFIGURATION, encoding="utf-8")
    (shop / "shop.log").write_text("".join(_log_lines()), encoding="utf-8")
    for name, text in (("check", _CHECK), ("deploy", _DEPLOY), ("health", _HEALTH)):
        (shop / name).write_text(text, encoding="utf-8")
        (shop / name).chmod(0o755)


def _log_lines() -> Iterator[str]:
    dice = random.Random(17)
    for number in range(120):
        colour, level, text = dice.choice(_EVENTS)
        clock = f"{9 + number // 60:02}:{number % 60:02}:{dice.randrange(60):02}"
        yield f"\033[2m{clock}\033[0m \033[{colour}m{level}\033[0m {text}\n"
