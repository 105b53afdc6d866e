SELECT p.pid, p.name, n.pid_namespace <> one.pid_namespace AS pid_ns, n.net_namespace <> one.net_namespace AS net_ns,
    n.mnt_namespace <> one.mnt_namespace AS mnt_ns, n.user_namespace <> one.user_namespace AS user_ns, n.uts_namespace <> one.uts_namespace AS uts_ns
FROM process_namespaces n JOIN process_namespaces one ON one.pid = 1 JOIN processes p ON p.pid = n.pid
WHERE pid_ns OR net_ns OR mnt_ns OR user_ns OR uts_ns
ORDER BY p.pid
