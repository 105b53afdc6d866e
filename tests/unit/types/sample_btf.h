// A small blob with every kind of record and the shapes that kernel structures have.
#pragma once

#include "support/btf_writer.h"

namespace vitrine::test {

BtfWriter sample_btf();

}  // namespace vitrine::test
