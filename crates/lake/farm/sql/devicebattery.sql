-- The current battery of all devices, also of those that are absent from the newest object.
-- {dt} is the hour of the object that sets this off. A device that is silent for 30 days drops out.
SELECT device_id, max(sent_at) AS sent_at, max_by(battery_level, sent_at) AS battery_level, max_by(charging, sent_at) AS charging
FROM deviceping
WHERE dt BETWEEN '{dt-30d}' AND '{dt}' AND device_id IS NOT NULL
GROUP BY device_id
ORDER BY device_id
