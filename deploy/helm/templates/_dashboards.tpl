{{/* The text of a dashboard with the links and the severities of the alerts in it, as prometheusRule has them. */}}
{{- define "poolexporter.dashboard" -}}
{{- $runbooks := include "poolexporter.runbook" (list .values.runbookUrl "docs/runbooks.md") }}
{{- $text := .text | replace `"url": "docs/runbooks.md` (printf `"url": %s` (toJson $runbooks | trimSuffix `"`)) }}
{{- /* In two steps: what one is called may be the other's name. */}}
{{- range $name, $_ := .values.severities }}
{{- $text = $text | replace (printf `severity=\"%s\"` $name) (printf `severity=\"<%s>\"` $name) }}
{{- end }}
{{- range $name, $value := .values.severities }}
{{- $text = $text | replace (printf `severity=\"<%s>\"` $name) (printf `severity=\"%s\"` $value) }}
{{- end }}
{{- $text }}
{{- end }}
