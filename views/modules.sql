-- @summary List the kernel modules of a guest
-- @option --name glob GLOB: only modules whose name matches the shell pattern
-- @where name GLOB :name
-- @columns name, size, status, address, references, used_by
-- @example vitrine modules qemu:web1 # as lsmod would show inside the guest
-- @example vitrine modules qemu:web1 --sort size:desc # the largest first
-- @example vitrine modules memory.img --format ndjson # one JSON object on each line
SELECT * FROM kernel_modules
