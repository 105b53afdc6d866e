// The layout of a proven kernel's structures, from the best source that there is: types that were given, the BTF in its
// memory, or what symbols and invariants tell.
#pragma once

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {

// Sets layout, layout_source and layout_account of the kernel, and its types where there are some. Errors: inconsistent
// (the given types are of another build), unsupported (a member is missing without which nothing can be read).
Result<void> take_layout(PhysicalMemory& memory, ProvenKernel& kernel, const ProveOptions& options);

}  // namespace vitrine::linux_os
