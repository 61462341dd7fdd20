#!/usr/bin/env bash
# Installs what the tests of the pages look at them with: Chromium, and axe-core
# from npm, at the version and with the hash that e2e/browser/package-lock.json
# names. axe-core goes to tlogistry/axe in the user's cache directory.
#
# On Debian as root it installs the packages that are missing; elsewhere it
# says what is missing and changes nothing else. Running it again does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

axe=${XDG_CACHE_HOME:-$HOME/.cache}/tlogistry/axe

packages=()
command -v chromium >/dev/null || packages+=(chromium fonts-dejavu-core)
have_axe() { cmp -s e2e/browser/package-lock.json "$axe/package-lock.json" && [[ -f $axe/node_modules/axe-core/axe.min.js ]]; }
have_axe || command -v npm >/dev/null || packages+=(npm)

if ((${#packages[@]} > 0)); then
	if [[ ! -f /etc/debian_version || $(id -u) -ne 0 ]]; then
		echo "missing for the tests of the pages: ${packages[*]}"
		echo "they are skipped; on Debian this script installs it when run as root"
		exit 0
	fi
	echo "installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! have_axe; then
	echo "installing axe-core"
	rm -rf "$axe"
	mkdir -p "$axe"
	cp e2e/browser/package.json e2e/browser/package-lock.json "$axe"
	npm ci --prefix "$axe" --ignore-scripts --no-audit --no-fund --loglevel=error
fi
