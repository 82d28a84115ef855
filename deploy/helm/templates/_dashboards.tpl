{{/* The text of a dashboard, with the links and severities of prometheusRule. */}}
{{- define "poolexporter.dashboard" -}}
{{- $runbooks := include "poolexporter.runbook" (list .values.runbookUrl "docs/runbooks.md") }}
{{- $text := .text | replace `"url": "docs/runbooks.md` (printf `"url": %s` (toJson $runbooks | trimSuffix `"`)) }}
{{- /* In two steps, because the values may swap the names: page may be called ticket. */}}
{{- range $name, $_ := .values.severities }}
{{- $text = $text | replace (printf `severity=\"%s\"` $name) (printf `severity=\"<%s>\"` $name) }}
{{- end }}
{{- range $name, $value := .values.severities }}
{{- $text = $text | replace (printf `severity=\"<%s>\"` $name) (printf `severity=\"%s\"` $value) }}
{{- end }}
{{- $text }}
{{- end }}
