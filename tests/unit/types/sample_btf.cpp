#include "sample_btf.h"

namespace vitrine::test {

BtfWriter sample_btf() {
    BtfWriter w;
    const auto uint = w.integer("unsigned int", 4);
    const auto ulong = w.integer("long unsigned int", 8);
    const auto character = w.integer("char", 1, true);
    const auto u32 = w.type_definition("u32", w.type_definition("__u32", uint));
    const auto name = w.array(character, 16);
    const auto upid = w.structure("upid", 16, {{"nr", uint, 0}, {"ns", w.pointer(0), 64}});
    const auto flexible = w.array(upid, 0);
    w.structure(
        "pid", 16,
        {{"count", w.reference(BtfWriter::VOLATILE, "", uint), 0}, {"level", u32, 32}, {"numbers", flexible, 128}});
    const auto inner = w.union_("", 8, {{"raw", ulong, 0}, {"low", uint, 0}});
    const auto anonymous = w.structure("", 16, {{"state", uint, 0}, {"", inner, 64}});
    const auto memory = w.structure("module_memory", 16, {{"base", w.pointer(0), 0}, {"size", uint, 64}});
    const auto memories = w.array(memory, 7);
    const auto task = w.next_id() + 1;
    const auto task_pointer = w.pointer(task);  // forward reference: the structure comes next
    w.structure("task_struct", 176,
                {{"", anonymous, 0},
                 {"comm", name, 128},
                 {"mem", memories, 256},
                 {"parent", task_pointer, 1152},
                 {"flag_a", uint, 1216, 1},
                 {"flag_b", uint, 1217, 3},
                 {"handler", ulong, 1280},
                 {"level", u32, 1344}});
    w.enumeration("pid_type", false, {{"PIDTYPE_PID", 0}, {"PIDTYPE_MAX", 4}});
    w.enumeration("", true, {{"MINUS", -1}, {"PLUS", 1}});
    w.enumeration64("wide", false, {{"TOP", static_cast<std::int64_t>(0x8000000000000001)}});
    w.forward("hidden", false);
    w.forward("hidden_union", true);
    const auto proto = w.prototype(uint, {{"task", task_pointer, 0}, {"", 0, 0}});
    w.reference(BtfWriter::FUNC, "schedule", proto);
    const auto variable = w.record("current_task", BtfWriter::VAR, 0, false, task_pointer);
    w.word(1);
    w.record(".data..percpu", BtfWriter::DATASEC, 1, false, 8);
    w.word(variable);
    w.word(0);
    w.word(8);
    w.record("double", BtfWriter::FLOAT, 0, false, 8);
    w.record("tagged", BtfWriter::DECL_TAG, 0, false, task);
    w.word(0xffffffff);
    w.reference(BtfWriter::CONST, "",
                w.reference(BtfWriter::TYPE_TAG, "rcu", w.reference(BtfWriter::RESTRICT, "", task_pointer)));
    return w;
}

}  // namespace vitrine::test
