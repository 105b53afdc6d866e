-- @summary Show the registers of a guest's virtual processors
-- @description Control registers and MSRs are always exact; others of a running TCG guest lag unless --paused.
-- @columns cpu, cpl, rip, rsp, cr0, cr3, cr4, efer, lstar
-- @registers
-- @never-empty
-- @example vitrine vcpus qemu:web1 --paused # exact registers: the guest stands still for an instant
-- @example vitrine vcpus qemu:web1 --columns cpu,rip,cr3 # where each processor is, in which address space
-- @example vitrine vcpus kvm:4711 --format json # of any KVM monitor, no QMP needed
SELECT * FROM vcpus
