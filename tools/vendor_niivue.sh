#!/usr/bin/env bash
# Fetch the viewer of the report from npm, once, so that reports are written and opened without a network.
# It writes NiiVue's single-file build and the licences of all that is in it; README.md beside them notes the hash.
set -euo pipefail

VERSION=0.69.0
LICENCE_VERSION=0.38.0 # the last package of NiiVue that ships its licence; later ones name it: BSD-2-Clause
SHA256=47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af

target=$(cd "$(dirname "$0")/.." && pwd)/pkdr_monai/reporting/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm install --prefix . --silent --ignore-scripts --no-audit --no-fund --omit=optional "@niivue/niivue@$VERSION"
npm pack --silent "@niivue/niivue@$LICENCE_VERSION" >/dev/null
tar xzf "niivue-niivue-$LICENCE_VERSION.tgz" package/LICENSE

build=node_modules/@niivue/niivue/dist/niivue.umd.js
echo "$SHA256  $build" | sha256sum --check --quiet
gzip -9 -n -c "$build" >"$target/niivue.umd.js.gz"

{
    printf 'NiiVue %s, https://github.com/niivue/niivue\n\n' "$VERSION"
    cat package/LICENSE
    for folder in node_modules/* node_modules/@*/*; do
        name=${folder#node_modules/}
        licence=$(find "$folder" -maxdepth 1 -iname 'licen[sc]e*' 2>/dev/null | sort | head -n 1)
        if [ -f "$folder/package.json" ] && [ -n "$licence" ] && [ "$name" != @niivue/niivue ]; then
            version=$(node -p "require('./$folder/package.json').version")
            printf '\n%s\n%s %s, part of the build of NiiVue\n\n' "$(printf '=%.0s' {1..80})" "$name" "$version"
            cat "$licence"
        fi
    done
} >"$target/LICENSE.niivue.txt"
echo "NiiVue $VERSION: $(wc -c <"$build") bytes, $(wc -c <"$target/niivue.umd.js.gz") compressed"
