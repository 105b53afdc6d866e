#include "split_sample.h"

#include <cstring>

namespace vitrine::test {

std::vector<std::byte> joined(const BtfWriter& base, const BtfWriter& split) {
    const auto section = [](const std::vector<std::byte>& blob, std::size_t at) {
        std::uint32_t place[2];
        std::memcpy(place, blob.data() + at, sizeof place);
        const auto begin = blob.begin() + 24 + place[0];
        return std::vector<std::byte>(begin, begin + place[1]);
    };
    const auto a = base.blob(), b = split.blob();
    std::vector<std::byte> out(a.begin(), a.begin() + 24);
    std::uint32_t sizes[2] = {0, 0};
    for (const std::size_t which : {0u, 1u}) {
        for (const auto& blob : {a, b}) {
            const auto bytes = section(blob, which == 0 ? 8 : 16);
            sizes[which] += static_cast<std::uint32_t>(bytes.size());
            out.insert(out.end(), bytes.begin(), bytes.end());
        }
    }
    const std::uint32_t fields[] = {0, sizes[0], sizes[0], sizes[1]};
    std::memcpy(out.data() + 8, fields, sizeof fields);
    return out;
}

BtfWriter module_over(const BtfWriter& base, const TypeCatalog& kernel) {
    BtfWriter w(base.next_id(), base.string_bytes());
    const TypeId task = *kernel.find("task_struct"), pid = *kernel.find("struct pid");
    const TypeId number = *kernel.find("unsigned int"), choice = *kernel.find("pid_type");
    const auto private_data = w.next_id() + 1;
    const auto pointer = w.pointer(private_data);
    w.structure("private_data", 216,
                {{"next", pointer, 0},
                 {"task", task, 64},
                 {"owner", w.next_id() + 1, 1472},  // declared after it
                 {"mode", number, 1600, 3},
                 {"kind", choice, 1632},
                 {"", w.next_id() + 2, 1664}});
    w.structure("owner", 16, {{"pid", pid, 0}});
    w.union_("", 8, {{"low", number, 0}, {"self", pointer, 0}});
    w.type_definition("private_t", private_data);
    w.array(task, 3);
    w.array(private_data, 0);
    w.enumeration("modes", true, {{"MODE_NONE", -1}, {"PIDTYPE_PID", 7}});
    w.enumeration("", false, {});
    w.enumeration64("large", false, {{"LARGE", std::int64_t{1} << 40}});
    w.structure("empty", 0, {});
    w.structure("task_struct", 4, {{"another", number, 0}});
    w.integer("short", 2, true);
    w.forward("hidden_too", true);
    const auto proto = w.prototype(pointer, {{"task", task, 0}, {"of", pointer, 0}, {"", 0, 0}});
    w.reference(BtfWriter::FUNC, "probe", proto);
    w.pointer(proto);
    w.reference(BtfWriter::CONST, "", w.reference(BtfWriter::VOLATILE, "", task));
    const auto variable = w.record("the_data", BtfWriter::VAR, 0, false, private_data);
    w.word(1);
    w.record(".data", BtfWriter::DATASEC, 1, false, 216);
    w.word(variable);
    w.word(0);
    w.word(216);
    return w;
}

}  // namespace vitrine::test
