"""Every resources server here passes the environment checker, warnings included, and tells its policies' rewards."""

from pathlib import Path

import pytest

from nemo_gym.env_checker import examine_environment
from tests.needed_programs import marks_for

SERVERS = sorted(path.parent for path in (Path(__file__).parents[2] / "resources_servers").glob("*/app.py"))


@pytest.mark.parametrize("folder", [pytest.param(one, id=one.name, marks=marks_for(one.name)) for one in SERVERS])
def test_the_server_passes_the_environment_checker_and_its_readme_states_the_rewards(folder: Path) -> None:
    report = examine_environment(folder)
    assert report.problems == []
    means = report.mean_rewards
    assert means["oracle"] > means["random"] >= means["malformed"]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for policy, mean in means.items():
        assert f"| `{policy}` | {mean:.3f} |" in readme, f"the README's table should say {policy}: {mean:.3f}"
