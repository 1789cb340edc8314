"""What gosh does otherwise than dash, each with the exact outcome of both.

`docs/shell.md` has the same in tables, a section a heading; `test_shell.py` holds the shells, these
lists and the document against one another. An outcome is what is printed on standard output (`⏎`
for a line's end, `⇥` for a tabulator), the exit status unless it is 0, and whether there is a
message on standard error. `shell` in a snippet is the shell that is tried.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A snippet, its outcome in dash and in gosh, and how to get dash's outcome in gosh."""

    script: str
    dash: str
    gosh: str
    instead: str = ""


_D = Difference

SILENT = (
    _D(
        "echo 'echo \"[$1]\" $#' > f; shell f a",
        "`[a] 1⏎`",
        "`[] 0⏎`",
        "`. ./f a`; or `./f a`, executable and without a `#!` line",
    ),
    _D(
        "shell -c 'echo \"[$1]\" $#' name a",
        "`[a] 1⏎`",
        "`[] 0⏎`",
        "variables: `x=a gosh -c 'echo \"$x\"'`",
    ),
    _D("{ { sleep 0.2; echo late; } & } | cat", "`late⏎`", "nothing", "`wait` before the pipe"),
    _D(
        '(trap "echo bye" EXIT; echo in); echo out',
        "`in⏎bye⏎out⏎`",
        "`in⏎out⏎`",
        "`gosh -c '…'` in place of the parentheses",
    ),
    _D('trap "exit 9" EXIT; exit 1', "status 9", "status 1"),
    _D(
        "shell -c 'echo $$; exec shell -c \"echo \\$\\$\"' | uniq | grep -c .",
        "`1⏎`",
        "`2⏎`",
        "`exec` runs a process of its own and then ends the shell",
    ),
    _D("f() { false; return; }; f; echo $?", "`1⏎`", "`0⏎`", "`return $?`"),
    _D(
        "set -- a; shift 2; echo after", "status 2, message", "`after⏎`", "ask `[ $# -ge 2 ]` first"
    ),
    _D(
        'set -- 1 2; for x in "a$@b"; do echo "[$x]"; done',
        "`[a1]⏎[2b]⏎`",
        "`[a1 2b]⏎`",
        '`"$@"` by itself',
    ),
    _D(
        'for x in ${u:-"a b" c}; do echo "[$x]"; done',
        "`[a b]⏎[c]⏎`",
        "`[a]⏎[b]⏎[c]⏎`",
        '`set -- "a b" c` where `u` is empty',
    ),
    _D(
        "IFS=:; x=a::b; set -- $x; echo $#",
        "`3⏎`",
        "`2⏎`",
        "`${x%%:*}` and `${x#*:}`, field by field",
    ),
    _D('x="*a"; echo "${x#"*"}"', "`a⏎`", "`*a⏎`", '`"${x#\\*}"`'),
    _D("x=abc; echo $((x))", "status 2, message", "`0⏎`", "look at what a person typed first"),
    _D("[ a -eq 1 ]; echo $?", "`2⏎`, message", "`1⏎`", "the same"),
    _D('printf "%d\\n" abc; echo $?', "`0⏎1⏎`, message", "`0⏎0⏎`", "the same"),
    _D('printf "%d\\n" "\'A"', "`65⏎`", "`0⏎`"),
    _D('printf -v x a; echo "[$x]"', "`[]⏎`, message", "`-v[]⏎`", "`x=$(printf …)`"),
    _D("echo a >&-; echo $?", "`1⏎`, message", "`0⏎`", "`> /dev/null`"),
    _D('x=1; export x; export -p | grep -c "x="', "`1⏎`", "`0⏎`, status 1", "`printenv`"),
    _D('abc=1; set | grep -c "^abc="', "`1⏎`", "`0⏎`, status 1", "`declare -p abc`"),
    _D(
        'n=0; printf "1\\n2\\n" | while read x; do n=$x; done; echo $n',
        "`0⏎`",
        "`2⏎`",
        "parentheses around the loop",
    ),
    _D("echo a | { cat & wait; }", "nothing", "`a⏎`", "`< /dev/null` for a job"),
    _D("x=äö; echo ${#x}", "`4⏎`", "`2⏎`", "nothing: letters are what POSIX counts"),
)

MISSING = (
    _D(
        "kill -l 15",
        "`TERM⏎`",
        "status 2, message",
        '`kill() (exec kill "$@")`, once; then as usual',
    ),
    _D(
        "sleep 0.2 & kill $!; wait $!; echo $?",
        "`143⏎`, message",
        "`0⏎`, message",
        "that, and the number that `ps` shows, or `pidof`",
    ),
    _D(
        "sleep 0 & case $! in *[!0-9]*) echo no;; *) echo number;; esac; wait",
        "`number⏎`",
        "`no⏎`",
        "`$!` is for `wait` only",
    ),
    _D("jobs; echo $?", "`0⏎`", "`2⏎`, message", "`ps`"),
    _D('trap "echo got" TERM; kill -TERM $$; echo after', "`got⏎after⏎`", "`after⏎`, message"),
    _D('trap "echo got" INT; kill -INT $$; echo after', "`got⏎after⏎`", "`after⏎`, message"),
    _D('trap "" TERM; kill -TERM $$; echo alive', "`alive⏎`", "`alive⏎`, message"),
    _D('trap "echo bye" 0; echo hi', "`hi⏎bye⏎`", "`hi⏎`, message", "`trap … EXIT`"),
    _D(
        "exec 3> f; echo a >&3; exec 3>&-; cat f",
        "`a⏎`",
        "status 1, message",
        "only 0, 1 and 2 are there: `{ …; } > f`",
    ),
    _D(
        "echo a > f; exec 3< f; read x <&3; echo $x",
        "`a⏎`",
        "`⏎`, message",
        "`{ read x; …; } < f`",
    ),
    _D(
        'printf "a\\n" > a; while read l <&3; do echo $l; done 3< a',
        "`a⏎`",
        "status 1, message",
        "standard input",
    ),
    _D("exec 4>&1; echo a >&4", "`a⏎`", "status 1, message"),
    _D("echo abc > f; read x <> f; echo $x", "`abc⏎`", "`⏎`, message", "`<` or `>`"),
    _D(
        "echo a > f; set -C; echo b > f; cat f",
        "`a⏎`, message",
        "`b⏎`, message",
        "ask `[ -e f ]` first",
    ),
    _D("echo a > f; echo b >| f; cat f", "`b⏎`", "`a⏎`, message", "`>`"),
    _D("umask 027; umask", "`0027⏎`", "status 2, message", "`chmod`"),
    _D("ulimit -n > f; [ -s f ]; echo $?", "`0⏎`", "`1⏎`, message"),
    _D('printf "%.2f\\n" 3.14159', "`3.14⏎`", "status 1, message"),
    _D('printf "%*d\\n" 5 42', "`   42⏎`", "status 1, message", "`%5d`"),
    _D(
        "mkdir a; ln -s a l; cd -P l; echo ${PWD##*/}",
        "`a⏎`",
        "`work⏎`, message",
        '`cd "$(readlink -f l)"`',
    ),
    _D(
        "mkdir -p a/b; CDPATH=a; cd b > f; echo ${PWD##*/}",
        "`b⏎`",
        "`work⏎`, message",
        "the whole path",
    ),
    _D("alias hi='echo hello'\nhi there", "`hello there⏎`", "status 127, message", "a function"),
    _D("[ a \\< b ]; echo $?", "`0⏎`", "`2⏎`, message", "`[[ a < b ]]`"),
)

OTHERWISE = (
    _D("if true; echo a", "status 2, message", "status 1, message"),
    _D("echo a\nif true; echo b", "`a⏎`, status 2, message", "status 1, message"),
    _D('echo "a', "status 2, message", "status 1, message"),
    _D('set -u; echo "$x"', "status 2, message", "status 1, message"),
    _D('echo "${x?gone}"; echo no', "status 2, message", "status 1, message"),
    _D("cat < nothing; echo $?", "`2⏎`, message", "`1⏎`, message"),
    _D("echo a > no/where; echo $?", "`2⏎`, message", "`1⏎`, message"),
    _D("cd /nowhere; echo $?", "`2⏎`, message", "`1⏎`, message"),
    _D("echo a > f; ./f; echo $?", "`126⏎`, message", "`127⏎`, message"),
    _D("/usr; echo $?", "`126⏎`, message", "`127⏎`, message"),
    _D("wait 99999; echo $?", "`127⏎`", "`1⏎`, message"),
    _D("command -v nothing; echo $?", "`127⏎`", "`1⏎`"),
    _D("type nothing > f; echo $?", "`127⏎`", "`1⏎`, message"),
    _D("echo $((1/0)); echo after", "status 2, message", "`after⏎`, message", "`set -e`"),
    _D("readonly x=1; x=2; echo after", "status 2, message", "`after⏎`, message", "`set -e`"),
    _D("readonly x=1; unset x; echo after", "status 2, message", "`after⏎`, message", "`set -e`"),
    _D(". ./nothing; echo after", "status 2, message", "`after⏎`, message", "`set -e`"),
    _D("return 3; echo on", "status 3", "`on⏎`, message", "`exit 3`"),
    _D(
        'trap "echo a" EXIT; trap; trap - EXIT',
        "`trap -- 'echo a' EXIT⏎`",
        '`trap -- "echo a" EXIT⏎`',
    ),
    _D("alias hi='echo hello'; alias hi", "`hi='echo hello'⏎`", "`alias hi='echo hello'⏎`"),
)

MORE = (
    _D('echo "a\\tb"', "`a⇥b⏎`", "`a\\tb⏎`", '`printf "a\\tb\\n"`, `echo -e`'),
    _D('echo -e "a\\tb"', "`-e a⇥b⏎`", "`a⇥b⏎`"),
    _D("echo {a,b} {1..3}", "`{a,b} {1..3}⏎`", "`a b 1 2 3⏎`", "quotes"),
    _D("echo $'a\\tb'", "`$a⇥b⏎`", "`a⇥b⏎`"),
    _D("echo $((2**3))", "status 2, message", "`8⏎`"),
    _D("x=aXb; echo ${x/X/-}", "status 2, message", "`a-b⏎`"),
    _D("x=hello; echo ${x:1:2}", "status 2, message", "`el⏎`"),
    _D("x=abc; echo ${x^^}", "status 2, message", "`ABC⏎`"),
    _D("x=y; y=z; echo ${!x}", "status 2, message", "`z⏎`"),
    _D("echo ${RANDOM:+random}", "`⏎`", "`random⏎`"),
    _D("a=(1 2 3); echo ${a[1]}", "status 2, message", "`2⏎`"),
    _D("declare -A a=([k]=v); echo ${a[k]}", "status 2, message", "`v⏎`"),
    _D("let x=1+2; echo $x", "`⏎`, message", "`3⏎`"),
    _D("[ a == a ]; echo $?", "`2⏎`, message", "`0⏎`"),
    _D("[[ a == a* ]] && echo yes", "status 127, message", "`yes⏎`"),
    _D("[[ a < b ]] && echo yes", "status 2, message", "`yes⏎`"),
    _D("(( 1 > 0 )) && echo yes", "status 127, message", "`yes⏎`"),
    _D("for ((i=0;i<2;i++)); do echo $i; done", "status 2, message", "`0⏎1⏎`"),
    _D("case a in a) echo 1;& b) echo 2;; esac", "status 2, message", "`1⏎2⏎`"),
    _D("case ab in @(ab|c)) echo yes;; esac", "status 2, message", "`yes⏎`"),
    _D(
        "mkdir -p d/e; touch d/e/f; shopt -s globstar; echo **/f",
        "`**/f⏎`, message",
        "`d/e/f⏎`",
    ),
    _D("function f { echo a; }; f", "status 2, message", "`a⏎`"),
    _D('echo "echo in" > f; source ./f', "status 127, message", "`in⏎`"),
    _D("cat <<< a", "status 2, message", "`a⏎`"),
    _D("cat <(echo a)", "status 2, message", "`a⏎`"),
    _D("echo a |& cat", "status 2, message", "`a⏎`"),
    _D('trap "echo failed" ERR; false', "status 1, message", "`failed⏎`, status 1"),
    _D("pushd / > /dev/null; popd > /dev/null; echo $?", "`127⏎`, message", "`0⏎`"),
)

# Headings of docs/shell.md.
SECTIONS = {
    "Another outcome, and no word about it": SILENT,
    "Not there": MISSING,
    "Another status, or going on after a mistake": OTHERWISE,
    "More than dash": MORE,
}
