{{- define "weft.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "weft.labels" -}}
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "weft.podSpec" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Certificates and key of the issuer as a dictionary of PEM. Made once: what is in the cluster stays as it is. */}}
{{- define "weft.issuer" -}}
{{- $given := .Values.identity.issuer.tls }}
{{- $kept := lookup "v1" "Secret" .Release.Namespace "weft-issuer" }}
{{- if or $given.crtPEM $given.keyPEM .Values.identityTrustAnchorsPEM }}
{{- if not (and $given.crtPEM $given.keyPEM .Values.identityTrustAnchorsPEM) }}
{{- fail "identityTrustAnchorsPEM, identity.issuer.tls.crtPEM and identity.issuer.tls.keyPEM belong together" }}
{{- end }}
{{- dict "crt" $given.crtPEM "key" $given.keyPEM "ca" .Values.identityTrustAnchorsPEM | toJson }}
{{- else if $kept }}
{{- dict "crt" (index $kept.data "tls.crt" | b64dec) "key" (index $kept.data "tls.key" | b64dec) "ca" (index $kept.data "ca.crt" | b64dec) | toJson }}
{{- else }}
{{- $authority := genCAWithKey (printf "weft.%s.%s" .Release.Namespace .Values.trustDomain) (int .Values.identity.issuer.lifeDays) (genPrivateKey "ecdsa") }}
{{- dict "crt" $authority.Cert "key" $authority.Key "ca" $authority.Cert | toJson }}
{{- end }}
{{- end }}

{{- /*
Of what has to run before the agent of its node is ready: agents need a controller for that, and where all nodes are new none would ever
be scheduled. Nothing of it is in the mesh.
*/}}
{{- define "weft.tolerations" -}}
{{- $startup := dict "key" "weft.dev/agent-not-ready" "operator" "Exists" }}
{{- append .Values.controller.tolerations $startup | toJson }}
{{- end }}
