#!/usr/bin/env bash
# Usage: switch.sh blue|green [--dry-run]
#
# Lets people see the other colour, by the selector of the Service `web`, after a look at whether all of it is ready.
# Connections to the colour before stay until they end; switch.sh with its name goes back to it.
#   --dry-run   look, and say what would be done
# Environment: KUBECTL (default: kubectl), NAMESPACE (web-assistant), WAIT (seconds for deployments to be ready: 120).
set -euo pipefail
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
unset CDPATH
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
kubectl=${KUBECTL:-kubectl} namespace=${NAMESPACE:-web-assistant} wait=${WAIT:-120}
parts=(frontend orchestrator calendar notes search)

color='' dry=no
for argument in "$@"; do
    case $argument in
        blue | green) [[ -z $color ]] || { usage >&2 && exit 2; } && color=$argument ;;
        --dry-run) dry=yes ;;
        --help) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
done
[[ -n $color ]] || { usage >&2 && exit 2; }

on() { "$kubectl" --namespace "$namespace" "$@"; }
die() { echo "switch.sh: $*" >&2 && exit 1; }

for part in "${parts[@]}"; do
    on rollout status "deployment/$part-$color" --timeout "${wait}s" ||
        die "$part-$color is not ready: nothing was switched"
    ready=$(on get deployment "$part-$color" --output 'jsonpath={.status.readyReplicas}') || die "$part-$color cannot be seen"
    [[ ${ready:-0} -ge 1 ]] || die "$part-$color has no pod that is ready: nothing was switched"
done

now=$(on get service web --ignore-not-found --output 'jsonpath={.spec.selector.track}') || die 'the Service web cannot be seen'
echo "people see: ${now:-nothing}"
if [[ $dry == yes ]]; then
    echo "would switch to: $color"
    exec "$kubectl" --namespace "$namespace" apply --dry-run=server --kustomize "$here/entry/$color"
fi
on apply --kustomize "$here/entry/$color"
now=$(on get service web --output 'jsonpath={.spec.selector.track}')
[[ $now == "$color" ]] || die "the Service web still selects ${now:-nothing}"
echo "people see: $color"
