SELECT m.name, m.size, m.used_by, count(s.name) AS symbols, sum(s.address - m.address BETWEEN 0 AND m.size - 1) AS inside
FROM kernel_modules m LEFT JOIN symbols s ON s.module = m.name
GROUP BY m.name ORDER BY m.name
