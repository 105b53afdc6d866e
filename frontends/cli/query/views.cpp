#include "query/views.h"

#include <array>

namespace vitrine::cli {
namespace {

constexpr auto kViews = std::to_array<View>({
    {"ps", "processes", "pid,parent,uid,state,threads,start_time,name,cmdline", "pid", {"cmdline", "name"}, true},
    {"threads", "process_threads", "pid,tid,state,uid,name", "pid", {}, true},
    {"modules", "kernel_modules", "name,size,status,address,references,used_by", "", {}, false},
    {"symbols", "symbols", "address,type,name,module", "", {}, true},
    {"types", "types", "kind,size,name,module", "", {}, true},
    {"vcpus", "vcpus", "cpu,cpl,rip,rsp,cr0,cr3,cr4,efer,lstar", "", {}, true},
});

struct TableHint {
    std::string_view table;
    std::string_view column;
    Hint hint;
};

constexpr auto kHints = std::to_array<TableHint>({
    {"processes", "start_time", Hint::time},
    {"processes", "resident_size", Hint::bytes},
    {"processes", "total_size", Hint::bytes},
    {"kernel_modules", "size", Hint::bytes},
    {"guest_memory_map", "size", Hint::bytes},
});

}  // namespace

std::span<const View> all_views() { return kViews; }

const View* find_view(std::string_view command) {
    for (const View& view : kViews) {
        if (view.command == command) return &view;
    }
    return nullptr;
}

bool never_empty(std::string_view table) {
    for (const View& view : kViews) {
        if (view.table == table && view.never_empty) return true;
    }
    return false;
}

Hint hint_for(std::string_view table, std::string_view column) {
    for (const TableHint& hint : kHints) {
        if (hint.table == table && hint.column == column) return hint.hint;
    }
    return Hint::none;
}

}  // namespace vitrine::cli
