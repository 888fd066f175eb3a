"""Which revision a spec asks for."""

import pytest

from support.rollout_world import World


def asked(world):
    """Return what the next pass says about the version that is wanted."""
    world.run(3)
    ready = world.condition("Ready")
    return ready["reason"], world.condition("Stalled")["status"] == "True"


def pin(number):
    return {"model": {"training": "rain", "version": number}}


def without_versions(**spec):
    world = World(**spec)
    world.versions.clear()
    world.objects.clear()
    return world


def test_following_takes_the_newest_blessed_version():
    world = World()
    world.add_version(2)
    world.add_version(3, "Rejected")
    world.add_version(4, "Inconclusive")
    world.add_version(5, "Unverified")

    world.run(5)

    assert world.stable == 2


def test_a_version_that_a_person_turned_down_is_not_followed():
    world = World()
    world.add_version(2)
    world.objects["ModelVersion", "rain-v2"]["status"] = {"phase": "Rejected"}

    world.run(5)

    assert world.stable == 1


@pytest.mark.parametrize("verdict", ["Blessed", "Unverified", "Inconclusive"])
def test_a_pin_is_a_choice(verdict):
    world = World(**pin(2))
    world.add_version(2, verdict)
    world.add_version(3)

    world.run(5)

    assert world.stable == 2


def test_a_rejected_version_is_never_served():
    world = World(**pin(2))
    world.add_version(2, "Rejected")

    assert asked(world) == ("VersionRejected", True)
    assert world.stable is None


def test_an_absent_pin_waits():
    assert asked(World(**pin(9))) == ("VersionNotFound", False)


def test_no_version_yet_waits():
    assert asked(without_versions()) == ("NoVersionYet", False)


def test_no_blessed_version_waits_and_says_why():
    world = without_versions()
    world.add_version(1, "Unverified")

    assert asked(world) == ("NoBlessedVersion", False)
    assert "v1, is Unverified" in world.status["summary"]


def test_an_absent_training_is_told():
    world = without_versions()
    world.has_training = False

    assert asked(world) == ("TrainingNotFound", False)


def test_what_serves_goes_on_when_its_version_is_gone():
    world = World()
    world.run(5)
    del world.objects["ModelVersion", "rain-v1"]
    world.versions.clear()

    world.run(20)

    assert world.stable == 1
    assert world.phase == "Pending"
    assert world.condition("Available")["status"] == "True"


def test_the_same_bundle_under_another_number_is_the_same_revision():
    world = World()
    world.run(5)
    world.add_version(2)
    twin = world.objects["ModelVersion", "rain-v2"]["spec"]
    twin["digest"] = world.objects["ModelVersion", "rain-v1"]["spec"]["digest"]

    world.run(20)

    assert world.status["attempt"] == 1


def test_the_order_of_variables_changes_no_revision():
    one, two = {"name": "A", "value": "1"}, {"name": "B", "value": "2"}
    world = World(runtime={"env": [one, two]})
    world.run(5)
    world.edit(runtime={"env": [two, one]})

    world.run(20)

    assert world.status["attempt"] == 1


def test_another_secret_is_a_revision_of_its_own():
    world = World(runtime={"access": {"secretName": "keys"}})
    world.run(5)
    world.edit(runtime={"access": {"secretName": "newer-keys"}})

    world.run(300, until=lambda w: w.last["attempt"] == 2)

    assert [r["runtime"]["access"]["secretName"] for r in world.status["revisions"]] == [
        "newer-keys",
        "keys",
    ]


def test_an_image_of_the_users_own_is_a_revision_of_its_own():
    world = World()
    world.run(5)
    world.edit(runtime={"image": "mine:1"})
    world.run(300, until=lambda w: w.last["attempt"] == 2)
    assert world.status["revisions"][0]["image"] == "mine:1"

    world.edit(runtime={})
    world.run(60)

    assert world.last["start"] == "Rollback"
    assert world.status["revisions"][0]["image"] == "serving:1"


def test_history_is_bounded():
    world = World(rollout={"steps": [{"weight": 50}], "revisionHistory": 2})
    for number in range(2, 7):
        world.edit(**pin(number))
        world.add_version(number)
        world.run(2)
        world.act(f"promote-full@{world.rollout.get('attempt', 0)}")
        world.run(60, until=lambda w, n=number: w.stable == n)
    world.run(60)

    assert len(world.status["revisions"]) <= 3
    assert len(world.status["attempts"]) <= 10
