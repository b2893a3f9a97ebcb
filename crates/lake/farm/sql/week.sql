-- The battery of all devices over the last week.
-- Each object holds all devices, so most rows stand in many objects; texts of days and hours sort as times.
SELECT device_id, sent_at, max(battery_level) AS battery_level
FROM devicebattery
WHERE dt BETWEEN '{dt-7d}' AND '{dt}' AND sent_at >= '{dt-7d}' AND device_id IS NOT NULL
GROUP BY device_id, sent_at
ORDER BY device_id, sent_at
