-- The newest that is known of each device, for steps/low.py.
SELECT device_id, max(sent_at) AS sent_at, max_by(battery_level, sent_at) AS battery_level
FROM devicebattery
WHERE dt BETWEEN '{dt-1d}' AND '{dt}' AND device_id IS NOT NULL AND battery_level IS NOT NULL
GROUP BY device_id
ORDER BY device_id
