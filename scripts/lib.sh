# Shell functions the other scripts share. Sourced, with errexit, nounset and pipefail on. Mind that errexit does
# nothing inside a function called with || or if: such functions return their status themselves.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
PATH="$root/bin/tools:$PATH"

# strict: nothing may be skipped. On in CI, or on request.
strict() {
	[[ ${CI:-} == true || ${CI:-} == 1 || ${REQUIRE_SERVICES:-} == 1 ]]
}

section() {
	printf '\n==== %s\n' "$*"
}

fail() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# skip WHAT WHY: fails where nothing may be skipped, otherwise says so and returns.
skip() {
	if strict; then
		fail "$1 cannot run: $2"
	fi
	printf 'SKIPPED: %s: %s\n' "$1" "$2"
}

# modules lists the folder of every module in go.work, the root first.
modules() {
	go list -m -f '{{.Dir}}'
}

# each_module CMD...: runs a command in every module, all of them even after a failure.
each_module() {
	local dirs dir status=0
	dirs=$(modules) || return 1
	for dir in $dirs; do
		(cd "$dir" && "$@") || status=1
	done
	return "$status"
}

# fuzz_out_of_time NAME <LOG: the fuzzer called function NAME failed, and all it has to say is that its time was over. Go's
# fuzzer compares its deadline with that of its workers, which may not have heard of it yet, and takes its own end for an error
# (https://go.dev/issue/75804). Anything else in the log is for somebody to read: a failing input, one that was being made smaller
# when the time was over, a panic, a worker that hung.
fuzz_out_of_time() {
	local line late=1
	while IFS= read -r line; do
		case $line in
		"fuzz: elapsed: "* | "--- FAIL: $1 ("* | FAIL) ;;
		"    context deadline exceeded") late=0 ;;
		*) return 1 ;;
		esac
	done
	return "$late"
}

# tools builds staticcheck, gofumpt, govulncheck and benchstat, at the versions of tools/go.mod, and typecheck into bin/tools.
tools() {
	if [[ ! -x bin/tools/typecheck || tools/go.mod -nt bin/tools/typecheck || tools/typecheck/main.go -nt bin/tools/typecheck ]]; then
		echo "building tools"
		mkdir -p bin/tools
		(cd tools && GOWORK=off go build -o ../bin/tools/ tool ./typecheck)
		touch bin/tools/*
	fi
}

# npm_ci DIR: installs the packages of DIR/package-lock.json unless that is done already.
# Returns 1 when it cannot.
npm_ci() {
	if ! command -v npm >/dev/null; then
		echo "npm not found: install Node.js 20 or newer" >&2
		return 1
	fi
	# npm writes this file last, so it is missing or old after an install that broke off.
	local done_mark="$1/node_modules/.package-lock.json"
	if [[ -e $done_mark && ! $1/package-lock.json -nt $done_mark ]]; then
		return 0
	fi
	echo "npm ci in $1"
	(cd "$1" && npm ci --no-audit --no-fund --loglevel=error) && touch "$done_mark"
}

# debian_install PACKAGE...: installs Debian packages when run as root there. Returns 1 when it cannot.
debian_install() {
	if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
		return 1
	fi
	echo "installing $* with apt-get" >&2
	{
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@"
	} >/dev/null
}

# find_chromium prints the path of a browser, installing Debian's package when run as root. Returns 1 when there is none.
find_chromium() {
	local name
	for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
		if [[ -n $name ]] && type -P "$name"; then
			return 0
		fi
	done
	debian_install chromium || return 1
	type -P chromium
}

# services installs what tests of adapters talk to.
services() {
	type -P redis-server >/dev/null || debian_install redis-server ||
		skip "tests with Redis" "no redis-server found; install one"
	# Debian does not put PostgreSQL's programs on PATH.
	type -P initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || debian_install postgresql ||
		skip "tests with PostgreSQL" "no initdb found; install PostgreSQL"
}
