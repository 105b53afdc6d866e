"""Typed objects, lists and bytes of a real guest from Python."""


import pytest
from python_package import imported, opened  # noqa: F401  pylint: disable=unused-import

pytestmark = pytest.mark.guests("k61")


def test_objects(package, image):
    rows = image.query("SELECT pid, name, parent, task FROM processes WHERE pid > 0")
    by_pid = {row.pid: row for row in rows}
    for row in rows:
        task = image.object("task_struct", row.task)
        assert task.pid == row.pid and int(task.tgid) == row.pid and task.address_ == row.task
        if not row.name.startswith("kworker"):  # what those do now is added
            assert task["comm"] == row.name[:15] and str(task.comm) == row.name[:15]
        if row.parent in by_pid:
            assert task.real_parent.value_ == by_pid[row.parent].task
            assert task.real_parent.deref_().pid == row.parent
    task = image.object("struct task_struct", by_pid[1].task)
    assert task.tasks.address_of_().container_of_("task_struct", "tasks") == task
    assert task.tasks.next.container_of_("task_struct", "tasks").pid == task.member_("tasks.next").container_of_(
        "struct task_struct", "tasks").pid
    assert task.type_ == "struct task_struct" and task.kind_ == "structure" and "comm" in task.members_ and "comm" in dir(task)
    assert len(bytes(task)) == task.size_ and len(task.comm) == 16 and bytes(task.comm).startswith(b"init\0")
    assert task.comm[0] == ord("i") and [chr(letter) for letter in task.comm][:4] == list("init")
    with pytest.raises(IndexError):
        task.comm[16]  # pylint: disable=pointless-statement
    copy = task.snapshot_()
    assert copy.comm == "init" and copy.pid.cast_("u8") == 1
    assert "task_struct" in repr(task) and ".comm" in task.text_
    assert image.variable("init_task", "task_struct").comm == "swapper/0"
    assert task["__state"] == task.__getattr__("__state")
    banner = image.variable("linux_banner", "char")
    assert banner.address_of_().string_() == image.kernel.banner or image.kernel.banner in banner.address_of_().string_()
    check_what_objects_refuse(package, image, task)


def test_lists(package, image):
    rows = image.query("SELECT pid, parent, task FROM processes WHERE pid > 0")
    init_task = image.variable("init_task", "task_struct")
    assert {int(task.pid): task.address_ for task in init_task.tasks.list_("task_struct", "tasks")} == {row.pid: row.task for row in rows}
    init = image.object("task_struct", next(row.task for row in rows if row.pid == 1))
    children = init.children.list_("task_struct", "sibling")
    assert {child.address_ for child in children} == {row.task for row in rows if row.parent == 1} and children
    modules = image.variable("modules", "struct list_head").list_("struct module", "list")
    assert [str(module["name"]) for module in modules] == [row.name for row in image.query("SELECT name FROM kernel_modules")]
    # A process is on the list of its pid: struct pid.tasks[PIDTYPE_PID] is an hlist_head.
    (found,) = init.thread_pid.tasks[0].list_("task_struct", "pid_links[0]")
    assert found == init
    with pytest.raises(package.LimitError) as caught:
        init_task.tasks.list_("task_struct", "tasks", most=3)
    assert caught.value.address is not None
    with pytest.raises(package.UsageError, match="list_head"):
        init_task.comm.list_("task_struct", "tasks")
    # Begun at a node of another's: the first node does not lead back here.
    with pytest.raises(package.InconsistentError) as caught:
        image.object("list_head", init_task.tasks.address_ + 8).list_("task_struct", "tasks")
    assert caught.value.code == "inconsistent" and caught.value.address == init_task.tasks.prev.value_
    # The links of a circular list, taken for those of a list with an end, lead back and never end.
    with pytest.raises(package.InconsistentError) as caught:
        image.object("hlist_head", init_task.tasks.address_).list_("task_struct", "tasks")
    assert caught.value.code == "cycle"


def test_bytes_and_what_lives_there(package, image):
    banner = image.symbols.address_of("linux_banner")
    assert image.read(banner, 14) == b"Linux version "
    offset = image.kernel.text_physical - image.kernel.text
    assert image.read(banner + offset, 14, physical=True) == b"Linux version "
    assert image.read(banner, 0) == b""
    with pytest.raises(package.FaultError) as caught:
        image.read(0x1000, 16)
    assert caught.value.address == 0x1000 and isinstance(caught.value.address, package.Address) and "0x1000" in str(caught.value)
    with pytest.raises(package.LimitError):
        image.read(banner, 1 << 40)
    with pytest.raises(ValueError):
        image.read(-1, 1)
    facts = image.identify(banner + 3)
    assert any(fact.what == "symbol" and "linux_banner+0x3" in fact.detail and not fact.is_unknown for fact in facts)
    task = image.query("SELECT task FROM processes WHERE pid = 1")[0].task
    assert any(fact.what == "task" and "init" in fact.detail for fact in image.identify(task + 16))


def check_what_objects_refuse(package, image, task):
    with pytest.raises(AttributeError):
        task.no_such_member  # pylint: disable=pointless-statement
    with pytest.raises(package.NotFoundError):
        task["no_such_member"]  # pylint: disable=pointless-statement
    with pytest.raises(package.UsageError):
        int(task)
    with pytest.raises(package.NotFoundError):
        image.object("no_such_type", 0)
    with pytest.raises(package.Error) as caught:
        int(image.object("task_struct", 0x1000).pid)
    assert caught.value.address is not None and 0x1000 <= caught.value.address < 0x10000
    with pytest.raises(TypeError):
        hash(task)


def test_what_new_alone_makes_is_no_object(package, image):
    """There is nothing behind it to read."""
    native = package._native  # pylint: disable=protected-access
    for ask in (lambda: native.Object.__new__(native.Object).facts(), lambda: native.Object.facts(None),
                lambda: native.Session.__new__(native.Session).close(), lambda: native.Session.__new__(native.Session).is_closed,
                lambda: native.object(None, 0, "task_struct", 0), lambda: native.variable(None, 0, "init_task", "task_struct")):
        with pytest.raises(TypeError):
            ask()
    assert int(image.variable("init_task", "task_struct").pid) == 0
