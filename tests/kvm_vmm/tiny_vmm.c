// A virtual machine monitor in one file, with no devices: a test target that uses /dev/kvm and is not QEMU.
//
// The guest runs one 64-bit loop that counts in memory, with page tables, descriptor tables and MSRs at known values.
// Standard output tells what those are, one "name=value" a line, then "ready". Each line read from standard input is
// answered with the counter, the number of KVM_RUN returns by reason, and how often something had changed that a system
// call leaves alone: registers of the vCPU thread, or bytes of its stack below the red zone. "sum" answers with a checksum of
// guest memory without the counters as well; "kick" sends every vCPU thread a signal first; "pause" and "go" take the vCPUs
// out of KVM_RUN and back. Arguments: number of vCPUs, kind of memory (anonymous, memfd), and an ioctl request: the vCPU threads
// then have a seccomp filter that ends the process when they make it. Exit status 77: this machine's KVM cannot run the guest.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kPml4 = 0x2000, kPdpt = 0x3000, kCode = 0x5000, kCounter = 0x6000, kIdt = 0x7000, kGdt = 0x8000 };
static const uint64_t kMemory = 64u << 20;
static const uint64_t kLstar = 0xffffffff81c00080u, kGsBase = 0xffff888000012340u, kKernelGsBase = 0x7f1234560000u;

struct vcpu {
    int fd, id;
    struct kvm_run* run;
    uint64_t returns, interrupted, other, corrupt;
    pthread_t thread;
};

static pthread_mutex_t pause_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pause_ended = PTHREAD_COND_INITIALIZER;
static int paused;
static uint32_t forbidden_request;
static _Thread_local volatile uint64_t kicks;

static unsigned char* memory;
static int vm;

static void fail(const char* what) {
    fprintf(stderr, "tiny_vmm: %s: %s\n", what, strerror(errno));
    exit(77);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, int is_code) {
    struct kvm_segment s = {.limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .s = 1, .g = 1};
    s.l = is_code ? 1 : 0;
    s.db = is_code ? 0 : 1;
    return s;
}

static void set_msrs(int fd) {
    struct { struct kvm_msrs head; struct kvm_msr_entry entries[5]; } m;
    memset(&m, 0, sizeof(m));
    const uint64_t values[5][2] = {{0xc0000081, 0x0023001000000000u}, {0xc0000082, kLstar}, {0xc0000084, 0x47700},
                                   {0xc0000102, kKernelGsBase}, {0x176, 0xffffffff81c01000u}};
    m.head.nmsrs = 5;
    for (int i = 0; i < 5; ++i) m.entries[i].index = (uint32_t)values[i][0], m.entries[i].data = values[i][1];
    if (ioctl(fd, KVM_SET_MSRS, &m) != 5) fail("KVM_SET_MSRS");
}

static void set_state(const struct vcpu* v) {
    struct kvm_sregs s;
    if (ioctl(v->fd, KVM_GET_SREGS, &s) != 0) fail("KVM_GET_SREGS");
    s.cr3 = kPml4;
    s.cr4 = 0x20;         // PAE
    s.cr0 = 0x80050033;   // PG, AM, WP, NE, ET, MP, PE
    s.efer = 0xd01;       // NXE, LMA, LME, SCE
    s.cs = segment(0x10, 0xb, 1);
    s.ds = s.es = s.ss = s.fs = s.gs = segment(0x18, 0x3, 0);
    s.gs.base = kGsBase;
    s.idt.base = kIdt, s.idt.limit = 0xfff;
    s.gdt.base = kGdt, s.gdt.limit = 0x7f;
    if (ioctl(v->fd, KVM_SET_SREGS, &s) != 0) fail("KVM_SET_SREGS");
    struct kvm_regs r = {.rip = kCode, .rflags = 2, .rsp = 0x9000, .rbx = kCounter + 8u * (unsigned)v->id, .r15 = 0x1122334455667788u};
    if (ioctl(v->fd, KVM_SET_REGS, &r) != 0) fail("KVM_SET_REGS");
    set_msrs(v->fd);
}

static void on_kick(int signal) { (void)signal, ++kicks; }

// ioctl(fd, KVM_RUN, 0) with known values in all registers that a system call preserves, and a known pattern in the stack
// below the red zone. Returns what the call returns; *changed is set when anything is different afterwards.
__attribute__((noinline)) static long checked_run(long fd, long* changed) {
    long result, bad = 0;
    register long descriptor __asm__("r13") = fd;
    __asm__ volatile(
        "lea -4096(%%rsp), %%rdi\n mov $0x5a, %%eax\n mov $3968, %%ecx\n rep stosb\n"
        "mov %%rsp, %%r12\n mov $0x1111, %%r8d\n mov $0x2222, %%r9d\n mov $0x3333, %%r10d\n mov $0x4444, %%r14d\n mov $0x5555, %%r15d\n"
        "mov $16, %%eax\n mov %%r13, %%rdi\n mov $0xae80, %%esi\n xor %%edx, %%edx\n syscall\n mov %%rax, %%rbx\n"
        "mov $1, %[bad]\n cmp %%r12, %%rsp\n jne 1f\n cmp %%r13, %%rdi\n jne 1f\n cmp $0xae80, %%rsi\n jne 1f\n"
        "test %%rdx, %%rdx\n jne 1f\n cmp $0x1111, %%r8\n jne 1f\n cmp $0x2222, %%r9\n jne 1f\n cmp $0x3333, %%r10\n jne 1f\n"
        "cmp $0x4444, %%r14\n jne 1f\n cmp $0x5555, %%r15\n jne 1f\n"
        "mov $2, %[bad]\n lea -4096(%%rsp), %%rdi\n mov $0x5a, %%eax\n mov $3968, %%ecx\n repe scasb\n jne 1f\n"
        "xor %[bad], %[bad]\n 1:\n"
        : "=&b"(result), [bad] "=&r"(bad), "+r"(descriptor)
        :
        : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r14", "r15", "memory", "cc");
    *changed = bad;
    return result;
}

static void wait_while_paused(void) {
    pthread_mutex_lock(&pause_lock);
    while (paused) pthread_cond_wait(&pause_ended, &pause_lock);
    pthread_mutex_unlock(&pause_lock);
}

static void forbid(uint32_t request) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, request, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog description = {.len = sizeof(program) / sizeof(program[0]), .filter = program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &description) != 0) fail("seccomp");
}

static void* run(void* argument) {
    struct vcpu* v = argument;
    if (forbidden_request != 0) forbid(forbidden_request);
    printf("vcpu%d_thread=%ld\n", v->id, syscall(SYS_gettid));
    fflush(stdout);
    for (;;) {
        wait_while_paused();
        const uint64_t kicks_before = kicks;
        long changed = 0;
        const long result = checked_run(v->fd, &changed);
        // A signal handler of our own uses the stack below the red zone, and rightly so.
        if (changed == 1 || (changed == 2 && kicks == kicks_before)) ++v->corrupt;
        ++v->returns;
        if (result == -EINTR) ++v->interrupted;
        else if (result >= 0 && v->run->exit_reason == KVM_EXIT_INTR) ++v->other;
        else if (result < 0) fprintf(stderr, "tiny_vmm: KVM_RUN: %s\n", strerror((int)-result)), _exit(78);
        else if (v->run->exit_reason != KVM_EXIT_IO) fprintf(stderr, "tiny_vmm: exit %u\n", v->run->exit_reason), _exit(78);
    }
    return NULL;
}

static void build_guest(void) {
    uint64_t* pml4 = (uint64_t*)(memory + kPml4);
    uint64_t* pdpt = (uint64_t*)(memory + kPdpt);
    pml4[0] = pml4[272] = kPdpt | 7;  // also at 0xffff880000000000
    pdpt[0] = 0x4000 | 7;
    uint64_t* pd = (uint64_t*)(memory + 0x4000);
    for (uint64_t i = 0; i < kMemory >> 21; ++i) pd[i] = i << 21 | 0x87;
    // 1: inc qword [rbx]; jmp 1b
    const unsigned char code[] = {0x48, 0xff, 0x03, 0xeb, 0xfb};
    memcpy(memory + kCode, code, sizeof(code));
    uint64_t* gdt = (uint64_t*)(memory + kGdt);
    gdt[2] = 0x00af9b000000ffffu, gdt[3] = 0x00cf93000000ffffu;
    for (uint64_t i = 0x10000; i < kMemory; i += 4096) *(uint64_t*)(memory + i) = i * 0x9e3779b97f4a7c15u;
}

static uint64_t checksum(void) {
    uint64_t sum = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < kMemory / 8; ++i) {
        if (i >= kCounter / 8 && i < kCounter / 8 + 64) continue;
        sum = (sum ^ ((const uint64_t*)memory)[i]) * 0x100000001b3u;
    }
    return sum;
}

int main(int argc, char** argv) {
    const int vcpus = argc > 1 ? atoi(argv[1]) : 1;
    const int use_memfd = argc > 2 && strcmp(argv[2], "memfd") == 0;
    forbidden_request = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 0) : 0;
    const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0 || vcpus < 1 || vcpus > 16) fail("/dev/kvm");
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) fail("KVM_CREATE_VM");
    const int file = use_memfd ? memfd_create("guest", MFD_CLOEXEC) : -1;
    if (use_memfd && ftruncate(file, (off_t)kMemory) != 0) fail("ftruncate");
    memory = mmap(NULL, kMemory, PROT_READ | PROT_WRITE, use_memfd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0);
    if (memory == MAP_FAILED) fail("guest memory");
    build_guest();
    const struct kvm_userspace_memory_region region = {.memory_size = kMemory, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) fail("KVM_SET_USER_MEMORY_REGION");
    const struct sigaction kick = {.sa_handler = on_kick};
    sigaction(SIGUSR1, &kick, NULL);  // as monitors do: a signal makes KVM_RUN return
    printf("pid=%d\ncr3=%#x\nlstar=%#lx\ngs_base=%#lx\nkernel_gs_base=%#lx\nidt=%#x\ngdt=%#x\nrip=%#x\ncounter=%#x\nmemory=%#lx\n",
           getpid(), kPml4, kLstar, kGsBase, kKernelGsBase, kIdt, kGdt, kCode, kCounter, kMemory);
    struct vcpu* all = calloc((size_t)vcpus, sizeof(*all));
    for (int i = 0; i < vcpus; ++i) {
        all[i].id = i;
        all[i].fd = ioctl(vm, KVM_CREATE_VCPU, i);
        if (all[i].fd < 0) fail("KVM_CREATE_VCPU");
        all[i].run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, all[i].fd, 0);
        if (all[i].run == MAP_FAILED) fail("kvm_run");
        set_state(&all[i]);
        if (pthread_create(&all[i].thread, NULL, run, &all[i]) != 0) fail("pthread_create");
    }
    for (int i = 0; i < vcpus; ++i) {
        const volatile uint64_t* counter = (const volatile uint64_t*)(memory + kCounter) + i;
        for (int wait = 0; wait < 500 && *counter == 0; ++wait) usleep(10000);
        if (*counter == 0) errno = ENOEXEC, fail("the guest does not run");
    }
    puts("ready");
    fflush(stdout);
    for (char line[64]; fgets(line, sizeof(line), stdin) != NULL;) {
        const int send_kick = strncmp(line, "kick", 4) == 0, stop = strncmp(line, "pause", 5) == 0;
        pthread_mutex_lock(&pause_lock);
        if (stop) paused = 1;
        if (strncmp(line, "go", 2) == 0) paused = 0, pthread_cond_broadcast(&pause_ended);
        pthread_mutex_unlock(&pause_lock);
        for (int i = 0; i < vcpus && (send_kick || stop); ++i) pthread_kill(all[i].thread, SIGUSR1);
        uint64_t returns = 0, interrupted = 0, other = 0, corrupt = 0;
        for (int i = 0; i < vcpus; ++i) {
            returns += all[i].returns, interrupted += all[i].interrupted, other += all[i].other, corrupt += all[i].corrupt;
        }
        printf("counter=%lu returns=%lu interrupted=%lu other=%lu corrupt=%lu", *(volatile uint64_t*)(memory + kCounter), returns,
               interrupted, other, corrupt);
        if (strncmp(line, "sum", 3) == 0) printf(" checksum=%#lx", checksum());
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
