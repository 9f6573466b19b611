#!/usr/bin/env bash
# The main job on one screen: start servers, collect rollouts, show rewards and metrics, stop everything.
set -euo pipefail

config_paths="resources_servers/calendar/configs/calendar.yaml,\
responses_api_models/scripted_model/configs/scripted_model.yaml"
output=results/quickstart.jsonl

echo "\$ ng_run \"+config_paths=[$config_paths]\" &"
ng_run "+config_paths=[$config_paths]" &
servers=$!
trap "kill -TERM $servers 2>/dev/null; wait $servers" EXIT
ng_status +wait_s=30 >/dev/null

echo "\$ ng_collect_rollouts +agent_name=calendar_simple_agent +input_jsonl_fpath=... +num_repeats=4"
ng_collect_rollouts \
    +agent_name=calendar_simple_agent \
    +input_jsonl_fpath=resources_servers/calendar/data/train_sample.jsonl \
    +output_jsonl_fpath=$output \
    +num_repeats=4 \
    +overwrite=true
