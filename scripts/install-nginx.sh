#!/usr/bin/env bash
# Installs nginx for `make bench`, which measures it beside the service.
#
# On Debian as root it installs the package if it is missing; elsewhere it says
# so and changes nothing, and the figures are without nginx.
set -euo pipefail

if command -v nginx >/dev/null; then
	exit 0
fi
if [[ ! -f /etc/debian_version || $(id -u) -ne 0 ]]; then
	echo "nginx is missing, and will be missing in the figures"
	exit 0
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# The service that the package brings must not start. Where something already
# decides that, it goes on to.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
apt-get install -y -qq --no-install-recommends nginx-light
