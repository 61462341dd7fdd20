#!/usr/bin/env bash
# Installs the programs that the end-to-end tests pull images with: docker,
# podman, skopeo and containerd, and curl. crane is built by the tests themselves.
#
# On Debian as root it installs the packages that are missing; elsewhere it
# says what is missing and changes nothing. Running it again does nothing.
set -euo pipefail

# The package that has a program.
package_of() {
	case $1 in
	dockerd) echo docker.io ;;
	docker) # part of docker.io up to Debian 12, then a package of its own
		# that has BuildKit in another
		if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli docker-buildx; else echo docker.io; fi
		;;
	containerd | ctr) echo containerd ;;
	podman | skopeo | curl) echo "$1" ;;
	esac
}

missing=()
find_missing() {
	missing=()
	local program
	for program in dockerd docker containerd ctr podman skopeo curl; do
		command -v "$program" >/dev/null || missing+=("$program")
	done
}

find_missing
if ((${#missing[@]} == 0)); then
	echo "all clients are installed"
	exit 0
fi

if [[ ! -f /etc/debian_version || $(id -u) -ne 0 ]]; then
	echo "missing clients: ${missing[*]}"
	echo "the tests that need them are skipped; on Debian this script installs them when run as root"
	exit 0
fi

echo "installing clients: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
packages=()
for program in "${missing[@]}"; do
	read -ra of_program <<<"$(package_of "$program")"
	packages+=("${of_program[@]}")
done
# A service that a package brings must not start: the tests run their own
# daemons. Where something already decides that, it goes on to.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get install -y -qq --no-install-recommends "${packages[@]}"

find_missing
if ((${#missing[@]} > 0)); then
	echo "still missing after the installation: ${missing[*]}" >&2
	exit 1
fi
